#!/usr/bin/env bash
# RoBERTa with LayerDrop: pretrained once, pruned to 6 and 3 of 12 layers, finetuned on MNLI, MRPC, QNLI and SST-2.
#   bash scripts/roberta.sh                all stages: prepare preprocess train average evaluate finetune score
#   STAGE=train bash scripts/roberta.sh    one of them
#   DRY_RUN=1 bash scripts/roberta.sh      prints every command
#   TINY=1 bash scripts/roberta.sh         all stages in about a minute, on data made here
#   TEXT=~/books-and-wiki ...              pretrains on {train,valid}.txt there, documents apart by empty lines
#   PRETRAINED=~/model.pt ...              only finetunes a model that you have, such as the authors' (SIZE=large KEEP=)
#                                          https://dl.fbaipublicfiles.com/fairseq/models/roberta_layerdrop.large.tar.gz
#   SIZE=large KEEP= ...                   24 layers; with LAYERS=48 RATE=0.5 the paper's 48
#   TASKS="MRPC SST-2" KEEP=every_other:4  some tasks, another depth
#   RAW=~/folder ...                       has all files that `prepare` names; else they are fetched (525 MB)
# The paper pretrains on BooksCorpus and English Wikipedia (16 GB of text), which can't be fetched. Without TEXT this
# takes WikiText-103, as fairseq's own example does, and scores will be far below the paper's. That example also has
# other settings (2,048 sequences, 125K updates, lr 5e-4, warm-up 10K); here are the paper's. Published on MNLI-m, MRPC,
# QNLI, SST-2: 24 layers 89.2 90.2 94.2 95.4; 6 of 12: 82.9 85.3 89.4 92.5; 3 of 12: 78.6 75.1 86.0 90.5.
# 500K updates of 8,192 sequences are 2e12 tokens: weeks on 8 GPUs. A finetuning takes one GPU, MNLI for hours.
# Variables of every recipe (OUT, GPUS, UPDATE_FREQ, PRECISION, SETUP): scripts/recipes/stages.sh.
set -euo pipefail
source "$(dirname "$0")/help.sh"
NAME=roberta STACKS=encoder
source "$(dirname "$0")/recipes/stages.sh"
: "${SIZE:=base}" "${KEEP=$(sized "every_other:6 every_other:3" every_other:2)}" "${SEED:=1}"
: "${TEXT:=}" "${PRETRAINED:=}" "${BATCH:=16}" "${CONTEXT:=$(sized 512 64)}" "${UPDATES:=$(sized 500000 20)}"
TEXT=$(absolute "$TEXT") PRETRAINED=$(absolute "$PRETRAINED")
[ -z "$TEXT" ] || { [ -f "$TEXT/train.txt" ] && [ -f "$TEXT/valid.txt" ]; } ||
  die "TEXT must be a folder with train.txt and valid.txt, but is '$TEXT'."
[ -z "$PRETRAINED" ] || [ -f "$PRETRAINED" ] || die "PRETRAINED must be a checkpoint's file, but is '$PRETRAINED'."
[ -z "$PRETRAINED" ] || [ -z "$TRAIN_DEPTHS" ] || die "TRAIN_DEPTHS must be left out with PRETRAINED, which is trained."
case $SIZE in
  base) : "${LAYERS:=$(sized 12 4)}" "${LR:=6e-4}" "${WARMUP:=$(sized 24000 5)}" ;;
  large) : "${LAYERS:=$(sized 24 4)}" "${LR:=4e-4}" "${WARMUP:=$(sized 30000 5)}" ;;
  *) die "SIZE must be base or large, but is '$SIZE'." ;;
esac
update_freq "$(sized 512 1)" # times 16 sequences are 8,192
MODEL=${PRETRAINED:-$OUT/average.pt} WORKERS=$(sized 20 1) WIKITEXT=wikitext-103-raw-v1.zip
CODE=https://openaipublic.blob.core.windows.net/gpt-2/encodings/main # what fairseq's gpt2_bpe/ has copies of
SHAPE="--arch layerdrop_roberta_$SIZE --encoder-layers $LAYERS --max-positions $CONTEXT
  $(sized "" "--encoder-embed-dim 32 --encoder-ffn-embed-dim 64 --encoder-attention-heads 2")"
TRAINING="--optimizer adam --adam-betas (0.9,0.98) --adam-eps 1e-6 --clip-norm 0.0 --lr-scheduler polynomial_decay
  --dropout 0.1 --attention-dropout 0.1 --seed $SEED $(sized "" "--num-workers 0")"
source "$(dirname "$0")/recipes/glue.sh"

prepare() {
  [ -z "$RAW" ] || [ -d "$RAW" ] || die "RAW must be a folder with the files that are fetched else, but is '$RAW'."
  run mkdir -p "$OUT/raw"
  [ -z "$TINY" ] || { run python scripts/recipes/tiny_data.py roberta "$OUT/raw/made"; RAW=$OUT/raw/made; }
  fetch $CODE/encoder.json 196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783 "$OUT/raw/encoder.json"
  fetch $CODE/vocab.bpe 1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5 "$OUT/raw/vocab.bpe"
  fetch https://dl.fbaipublicfiles.com/fairseq/gpt2_bpe/dict.txt - "$OUT/raw/dict.txt"
  run_as "[ \$(wc -l <$(quoted "$OUT/raw/dict.txt")) -eq $(sized 50260 96) ]" \
    check_lines "$(sized 50260 96)" "$OUT/raw/dict.txt"
  fetch_glue
  [ -z "$TEXT$PRETRAINED" ] || return 0
  fetch https://wikitext.smerity.com/$WIKITEXT \
    91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794 "$OUT/raw/$WIKITEXT"
  run python -m zipfile -e "$OUT/raw/$WIKITEXT" "$OUT/raw"
}
preprocess() {
  local split text=${TEXT:+$TEXT/%.txt} bin=$OUT/bin/text
  : "${text:=$OUT/raw/wikitext-103-raw/wiki.%.raw}"
  run python scripts/recipes/glue.py "$OUT/raw" --out "$OUT/bin" --tasks $TASKS --workers "$WORKERS" \
    $(sized "" --any-size)
  [ -z "$PRETRAINED" ] || return 0
  run python scripts/recipes/gpt2_bpe.py "${text/\%/train}" "${text/\%/valid}" --bpe "$OUT/raw" --out "$OUT/pieces" \
    --workers "$WORKERS"
  text=$OUT/pieces/$(basename "$text")
  run rm -rf "$bin" # fairseq does not write over a dictionary
  run fairseq-preprocess --only-source --srcdict "$OUT/raw/dict.txt" --trainpref "${text/\%/train}" \
    --validpref "${text/\%/valid}" --destdir "$bin" --workers "$WORKERS"
}
train() {
  run fairseq-train "$OUT/bin/text" --task masked_lm --criterion masked_lm --user-dir layerdrop_plugin $SHAPE \
    --encoder-layerdrop "$RATE" $DEPTHS_OPTION --tokens-per-sample "$CONTEXT" --sample-break-mode complete $TRAINING \
    --weight-decay 0.01 --lr "$LR" --warmup-updates "$WARMUP" --total-num-update "$UPDATES" --max-update "$UPDATES" \
    --batch-size "$BATCH" --update-freq "$UPDATE_FREQ" $DEVICES --save-dir "$OUT/train" --no-epoch-checkpoints \
    --save-interval-updates "$(sized 1000 10)" --keep-interval-updates 1
}
average() { run layerdrop-average --inputs "$OUT/train/checkpoint_best.pt" --output "$OUT/average.pt" --force; }
evaluate() {
  local kept
  for kept in full $KEEP; do
    run_to "$OUT/evaluate/$kept.txt" fairseq-validate "$OUT/bin/text" --task masked_lm --user-dir layerdrop_plugin \
      $DEVICE --path "$OUT/average.pt" --model-overrides "$(overrides "$kept")" --batch-size "$BATCH"
  done
}
check_lines() { # COUNT FILE: one that is wrong goes, so that it can be fetched anew
  local found
  found=$(wc -l <"$2")
  [ "$found" -eq "$1" ] || { rm "$2"; die "$2 must have $1 lines, but has $((found)); it was removed."; }
}
stages prepare preprocess $([ -n "$PRETRAINED" ] || echo train average evaluate) finetune score
