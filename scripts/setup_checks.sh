# Questions that scripts/setup.sh asks; sourced, not run.
[ "$0" != "${BASH_SOURCE[0]}" ] || { sed -n '1,${/^#/!q;s/^# \{0,1\}//p}' "$0"; exit; } # it is sourced, not run

fail() { echo "setup: $*" >&2; exit 1; }

# An interpreter that starts (pyenv leaves commands on PATH that do not) and is of a version that this package takes.
starts() { "$1" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 13))' > /dev/null 2>&1; }

choose_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        starts "$PYTHON" || fail "PYTHON=$PYTHON does not start as Python 3.9 to 3.13: name another, or leave it out"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
        if starts "$candidate"; then PYTHON=$candidate; return; fi
    done
    fail "no Python 3.9 to 3.13 found: install one (Debian: apt install python3 python3-venv python3-dev)"
}

# An environment whose interpreter and pip start.
usable() { starts "$1/bin/python" && "$1/bin/python" -c 'import pip' 2> /dev/null; }

same_version() { [ "$("$1" -c 'import sys; print(sys.version)')" = "$("$2" -c 'import sys; print(sys.version)')" ]; }

# The interpreter that .venv was made with.
base_python() { .venv/bin/python -c 'import sys; print("%s/bin/python%d.%d" % (sys.base_prefix, *sys.version_info[:2]))'; }

check_build_tools() {
    local compiler="${CXX:-c++}" python="${PYTHON:-.venv/bin/python}" headers
    "$python" -c 'import ensurepip, venv' 2> /dev/null || fail "Python's venv is missing: apt install python3-venv"
    echo 'int main() { return 0; }' | $compiler -x c++ -fsyntax-only - 2> /dev/null ||
        fail "fairseq's build needs a C++ compiler, and $compiler does not work: apt install g++"
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -f "$headers/Python.h" ] ||
        fail "fairseq's build needs Python's headers, and $headers has no Python.h: apt install python3-dev"
}

# The requirement is met in .venv, by what is written about its packages: nothing is imported.
installed() {
    .venv/bin/python - "$1" 2> /dev/null <<'PYTHON'
import importlib.metadata, re, sys
name, operator, wanted = re.match(r"([\w-]+)(==|>=|<)(.+)", sys.argv[1]).groups()
found = importlib.metadata.version(name).split("+")[0]
numbers = [[int(part) for part in re.findall(r"\d+", version)] for version in (found, wanted)]
sys.exit(not {"==": numbers[0] == numbers[1], ">=": numbers[0] >= numbers[1], "<": numbers[0] < numbers[1]}[operator])
PYTHON
}

complete() {
    installed "fairseq==0.12.2" && installed "torch>=1.13" && installed "layerdrop_plugin>=0" || return
    [ -z "$all" ] || { installed "ctranslate2>=4.0" && installed "transformers>=4.30"; }
}

works() { .venv/bin/python -c 'import babel, fairseq, matplotlib, sacrebleu, sentencepiece' > /dev/null; }
