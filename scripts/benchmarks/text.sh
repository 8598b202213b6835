# Sourced by scripts/benchmarks/speed.sh: a temporary folder with text that fairseq can read.
[ "$0" != "${BASH_SOURCE[0]}" ] || { sed -n '1,${/^#/!q;s/^# \{0,1\}//p}' "$0"; exit; } # it is sourced, not run

with_text() { # FOLDER, or nothing for text that is made here
  local data=${1-} pairs=20000 split
  [ -z "${TINY-}" ] || pairs=1000
  for split in ${data:+train valid test}; do
    [ -r "$data/$split.txt" ] && continue
    echo "${0##*/}: DATA must be a folder with train.txt, valid.txt and test.txt, but $data has no $split.txt." >&2
    exit 2
  done
  [ -z "$data" ] || data=$(cd "$data" && pwd)
  cd "$root"
  [ "${SETUP:-1}" = 0 ] || { bash scripts/setup.sh; PATH=$root/.venv/bin:$PATH; } # 0: the active environment
  export PYTHONWARNINGS=ignore PATH
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if [ -z "$data" ]; then
    data=$work/pieces
    python scripts/demo/make_data.py --out "$work" --pairs $pairs >&2
    for split in train valid test; do mv "$data/$split.de" "$data/$split.txt"; done
  fi
  fairseq-preprocess --only-source --thresholdsrc 3 --trainpref "$data/train.txt" --validpref "$data/valid.txt" \
    --testpref "$data/test.txt" --destdir "$work/bin" >"$work/preprocess.log" 2>&1 || {
    tail -n 20 "$work/preprocess.log" >&2
    exit 1
  }
}
