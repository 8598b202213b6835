#!/usr/bin/env bash
# A translation model on a CPU: all its layers, and some, in fairseq; the latter in CTranslate2, as float32 and int8.
# Sentences per second and BLEU on the same sentences in one run, and whether both programs translate alike.
#   CKPT=checkpoint_best.pt DATA=data-bin REFERENCE=test.de bash scripts/benchmarks/export.sh    a table in Markdown
#   TINY=1 bash scripts/benchmarks/export.sh          tries it out in a minute; its numbers mean nothing
# DATA is a folder of fairseq-preprocess, its text in pieces of sentencepiece; REFERENCE is SUBSET's plain text, a line
# for each sentence. Give it the machine for itself. The lines below are settings: THREADS=4 bash ...
set -euo pipefail
command=$(for v in TINY CKPT DATA REFERENCE SUBSET KEEP THREADS BEAM BATCH MAX_LENGTH REPEATS; do
  [ -z "${!v+x}" ] || echo -n "$v='${!v}' "; done)"bash scripts/benchmarks/export.sh"
source "$(dirname "$0")/../help.sh"
[ -z "${TINY-}" ] || : "${REPEATS:=1}" "${MAX_LENGTH:=20}"
: "${CKPT:=}" "${DATA:=}" "${REFERENCE:=}" "${SUBSET:=test}"
: "${KEEP:=every_other:3}"                                    # of each stack; or KEEP=0,2,4+0,3 for encoder and decoder
: "${THREADS:=1}" "${BEAM:=4}" "${BATCH:=100}" "${MAX_LENGTH:=200}" "${REPEATS:=5}" # sentences in a batch; pieces
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/scripts/openmp.sh"
absolute() { case $1 in /* | "") echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
CKPT=$(absolute "$CKPT") DATA=$(absolute "$DATA") REFERENCE=$(absolute "$REFERENCE")
cd "$root"
[ "${SETUP:-1}" = 0 ] || { bash scripts/setup.sh --all; PATH=$root/.venv/bin:$PATH; } # 0: the active environment
export PYTHONWARNINGS=ignore OMP_NUM_THREADS=$THREADS PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "${TINY-}" ]; then
  for stage in prepare preprocess train; do
    OUT=$work/tiny SETUP=0 RATES=0.2 TRAIN_DEPTHS= SMALL= UPDATES=20 STAGE=$stage \
      bash scripts/benchmarks/translation.sh >&2
  done
  CKPT=$work/tiny/train/0.2/checkpoint_last.pt DATA=$work/tiny/bin REFERENCE=$work/tiny/reference.txt
fi
python scripts/benchmarks/export.py --command "$command" --work "$work" --checkpoint "$CKPT" --data "$DATA" \
  --reference "$REFERENCE" --gen-subset "$SUBSET" --encoder "${KEEP%%+*}" --decoder "${KEEP#*+}" --threads "$THREADS" \
  --beam "$BEAM" --batch-size "$BATCH" --max-length "$MAX_LENGTH" --repeats "$REPEATS"
