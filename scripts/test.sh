#!/usr/bin/env bash
# Checks style, types and behavior; ends with status 0 when all is well.
#   bash scripts/test.sh                      everything: about seven minutes on two idle cores
#   bash scripts/test.sh --quick              all but the end-to-end tests and those that are slow: one and a half
#   bash scripts/test.sh -n 4 -k pruning -x   other arguments go to pytest, after -n auto --maxprocesses 8
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0" && exit ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset PYTHONDONTWRITEBYTECODE  # else each of hundreds of commands compiles this package anew

parts=(tests)
if [ "${1-}" = --quick ]; then parts=(tests --ignore tests/end_to_end -m "not slow"); shift; fi

bash scripts/setup.sh --all || {
    echo "test: the extras can't be installed here, see above: going on without them, their tests are skipped" >&2
    bash scripts/setup.sh
}
PATH=$PWD/.venv/bin:$PATH
types=$(mktemp)
checking= tested=0 checked=0
trap 'rm -f "$types"; [ -z "$checking" ] || kill "$checking" 2>/dev/null || true' EXIT
ruff check .
ruff format --check --extend-exclude '*.md' .
mypy >"$types" 2>&1 &
checking=$!  # beside the tests: the first time, it takes one core for long
python -m pytest --disable-warnings -n auto --maxprocesses 8 --dist loadgroup "${parts[@]}" "$@" || tested=$?
wait "$checking" || checked=$?
checking=
cat "$types"
exit $((tested ? tested : checked))
