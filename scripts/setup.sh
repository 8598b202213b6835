#!/usr/bin/env bash
# Makes .venv with fairseq 0.12.2, torch and this package; run again, it repairs, or sees that there is nothing to do.
#   bash scripts/setup.sh --all                       with the extras from now on: ctranslate2, huggingface, plot, speech
#   PYTHON=python3.12 bash scripts/setup.sh           takes this interpreter (3.9 to 3.13)
#   TORCH="torch==2.4.1" bash scripts/setup.sh        takes this torch; else one in .venv stays, if 1.13 or newer
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu bash scripts/setup.sh    no CUDA, a smaller download
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0" && exit ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup_checks.sh
case "$*" in "" | --all) all=${1:-} ;; *) fail "the options are --all and --help, but there is '$*'" ;; esac
if grep -qs -e --all .venv/setup.stamp; then all=--all; fi

say() { echo "setup: $*" >&2; }
pip() { .venv/bin/python -m pip install "$@" >&2; }
stamp() {
    { pwd; .venv/bin/python -VV; echo "${TORCH:-}"; cat scripts/setup*.sh setup.py pyproject.toml; } | cksum
    echo $all
}

fill() {
    local quiet="-qq --no-warn-conflicts" torch_quiet="-qq --no-warn-conflicts" numpy="numpy"
    if [ -t 2 ]; then torch_quiet="--no-warn-conflicts"; fi
    say "1/5 pip"
    installed "pip>=23.1" || pip -qq "pip>=23.1,<26"  # later ones leave Python 3.9 behind, and an old pip takes them
    say "2/5 torch (the longest download)"
    if [ -n "${TORCH:-}" ] || ! installed "torch>=1.13"; then pip $torch_quiet "${TORCH:-torch>=1.13,<2.14}"; fi
    say "3/5 what fairseq needs"
    if installed "torch<2.3"; then numpy="numpy<2"; fi  # older ones were built for numpy 1
    pip $quiet --only-binary numpy "$numpy" bitarray cffi cython hydra-core==1.3.2 omegaconf==2.3.0 regex requests
    say "4/5 this package, and what the demonstration, the recipes and the tests need"
    pip $quiet --editable ".[demo,recipes,test${all:+,ctranslate2,huggingface,plot,speech}]"
    say "5/5 fairseq 0.12.2 (compiles for about a minute)"
    # Without its dependencies: it pins hydra-core<1.1 and omegaconf<2.1, whose metadata pip 24.1 refuses to read.
    installed "fairseq==0.12.2" || PIP_ONLY_BINARY=numpy pip $quiet --no-deps fairseq==0.12.2
}

if [ -n "${PYTHON:-}" ] || ! usable .venv; then
    choose_python
    if ! usable .venv || ! same_version .venv/bin/python "$PYTHON"; then rm -rf .venv; fi
fi
if [ -f .venv/setup.stamp ] && complete && [ "$(stamp)" = "$(cat .venv/setup.stamp)" ]; then say "nothing to do"; exit; fi
installed "fairseq==0.12.2" || check_build_tools
[ -d .venv ] || "$PYTHON" -m venv .venv
fill
if ! works 2> /dev/null; then
    say "what is in .venv does not work: making it anew"
    [ -n "${PYTHON:-}" ] || PYTHON=$(base_python)
    rm -rf .venv; "$PYTHON" -m venv .venv; fill; works
fi
stamp > .venv/setup.stamp.new && mv .venv/setup.stamp.new .venv/setup.stamp
say "done in ${SECONDS} s; .venv/bin/python -m layerdrop_plugin tells what is there"
