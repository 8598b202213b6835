#!/usr/bin/env bash
# Builds the documentation as a site in site/; a broken link ends it. Open site/index.html; no server is needed.
#   bash scripts/docs.sh            builds it once
#   bash scripts/docs.sh --serve    builds it anew at each change, and shows it at http://127.0.0.1:8000
# It sets up what it needs in .venv; SETUP=0 takes the environment that is active, with the extra `docs`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
case "$*" in
  "" | --serve) ;;
  -h | --help) sed -n '2,5s/^# //p' "$0" && exit ;;
  *) echo "docs.sh: the options are --serve and --help, but there is '$*'." >&2 && exit 2 ;;
esac
if [ "${SETUP:-1}" != 0 ]; then
  bash scripts/setup.sh
  PATH=$PWD/.venv/bin:$PATH
  source scripts/setup_checks.sh
  installed "mkdocs-material>=9.5" || .venv/bin/python -m pip install -qq --editable ".[docs]" >&2
fi
export NO_MKDOCS_2_WARNING=1
if [ "$*" = --serve ]; then exec mkdocs serve; fi
mkdocs build --strict --clean --quiet
echo "docs: site/index.html"
