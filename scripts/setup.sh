#!/usr/bin/env bash
# Makes .venv with fairseq 0.12.2, torch and this package; run again, it repairs, or sees that there is nothing to do.
#   PYTHON=python3.12 bash scripts/setup.sh           takes this interpreter (3.9 to 3.13)
#   TORCH="torch==2.4.1" bash scripts/setup.sh        takes this torch; else one in .venv stays, if 1.13 or newer
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu bash scripts/setup.sh    no CUDA, a smaller download
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup_checks.sh

say() { echo "setup: $*" >&2; }
install() { .venv/bin/python -m pip install --quiet --no-warn-conflicts --no-warn-script-location "$@" >&2; }
stamp() { { pwd; .venv/bin/python -VV; echo "${TORCH:-}"; cat scripts/setup*.sh setup.py pyproject.toml; } | cksum; }

fill() {
    say "1/5 pip"
    install "pip>=23.1" wheel
    say "2/5 torch (the longest download)"
    if [ -n "${TORCH:-}" ] || ! installed "torch>=1.13"; then install "${TORCH:-torch>=1.13,<2.14}"; fi
    say "3/5 what fairseq needs"
    local numpy="numpy"
    if installed "torch<2.3"; then numpy="numpy<2"; fi
    install --only-binary numpy "$numpy" bitarray cffi cython hydra-core==1.3.2 omegaconf==2.3.0 regex
    say "4/5 this package, with what the demonstration and the tests need"
    install --editable ".[demo,test]"
    say "5/5 fairseq 0.12.2 (compiles for about a minute)"
    # Without its dependencies: it pins hydra-core<1.1 and omegaconf<2.1, whose metadata pip 24.1 refuses to read.
    installed "fairseq==0.12.2" || PIP_ONLY_BINARY=numpy,cython install --no-deps fairseq==0.12.2
}

if [ -n "${PYTHON:-}" ] || ! starts .venv/bin/python; then choose_python; else PYTHON=.venv/bin/python; fi
if ! same_python; then rm -rf .venv; fi
if [ -f .venv/setup.stamp ] && [ "$(stamp)" = "$(cat .venv/setup.stamp)" ] && complete; then
    say "nothing to do"; exit 0
fi
if ! [ -d .venv ]; then check_build_tools; "$PYTHON" -m venv .venv; fi
fill
works
stamp > .venv/setup.stamp.new && mv .venv/setup.stamp.new .venv/setup.stamp
say "done in ${SECONDS} s: .venv/bin/python -m layerdrop_plugin tells what is there"
