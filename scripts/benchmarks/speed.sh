#!/usr/bin/env bash
# Compares this package with stock fairseq and its LayerDropModuleList in paired runs, same data and same seed: training
# words/s beside the ideal, evaluation words/s at full and half depth, time and memory to load and prune a 1 GB checkpoint.
#   bash scripts/benchmarks/speed.sh                  on text that is made here; tables in Markdown, progress on stderr
#   DATA=FOLDER bash scripts/benchmarks/speed.sh      on train.txt, valid.txt and test.txt of FOLDER, a word at a time
#   PARTS=loading bash scripts/benchmarks/speed.sh    one of: training evaluation loading
#   TINY=1 bash scripts/benchmarks/speed.sh           tries it out in about a minute; its numbers mean nothing
# Give it the machine for itself, and 3 GB in $TMPDIR. The lines below are settings: RATES="0.5" bash ...
set -euo pipefail
command=$(for v in TINY DATA PARTS THREADS RATES LAYERS MODEL BIG TYPES ROUNDS STEPS LOADS; do
  [ -z "${!v+x}" ] || echo -n "$v='${!v}' "; done)"bash scripts/benchmarks/speed.sh"
source "$(dirname "$0")/../help.sh"
if [ -n "${TINY-}" ]; then
  : "${LAYERS:=4}" "${ROUNDS:=2}" "${STEPS:=2}" "${LOADS:=1}" "${TYPES:=500}" "${RATES:=0 0.5}"
  : "${MODEL:=--decoder-embed-dim 16 --decoder-ffn-embed-dim 32 --decoder-attention-heads 2 --tokens-per-sample 32
    --batch-size 2}" "${BIG:=transformer_lm --decoder-layers 4 --decoder-embed-dim 16 --decoder-attention-heads 2}"
fi
: "${DATA:=}" "${PARTS:=training evaluation loading}" "${THREADS:=2}" "${RATES:=0 0.2 0.5 0.8}" "${LAYERS:=16}"
: "${ROUNDS:=15}" "${STEPS:=4}" "${LOADS:=3}" "${TYPES:=267744}" # turn and turn about; size of the big dictionary
: "${MODEL:=--decoder-embed-dim 256 --decoder-ffn-embed-dim 1024 --decoder-attention-heads 4
  --share-decoder-input-output-embed --dropout 0.1 --tokens-per-sample 256 --batch-size 4}"
: "${BIG:=transformer_lm_wiki103 --criterion adaptive_loss --ddp-backend legacy_ddp}"
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/scripts/openmp.sh"
source "$root/scripts/benchmarks/text.sh"
with_text "$DATA" # changes into $root; sets work, a folder that goes at the end, with the text in $work/bin
OMP_NUM_THREADS=$THREADS python scripts/benchmarks/speed.py --command "$command" --work "$work" --parts $PARTS \
  --rates $RATES --layers "$LAYERS" --model "$MODEL" --big "$BIG" --types "$TYPES" --rounds "$ROUNDS" \
  --steps "$STEPS" --loads "$LOADS"
