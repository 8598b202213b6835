#!/usr/bin/env bash
# Long answers to questions, ELI5 (paper, section 4.3): a big transformer with LayerDrop, 6+6 layers, also pruned.
#   RAW=~/eli5 bash scripts/eli5.sh                  all stages: prepare preprocess train average evaluate score
#   RAW=~/eli5 STAGE=train bash scripts/eli5.sh      one of them
#   RAW=~/eli5 DRY_RUN=1 bash scripts/eli5.sh        prints every command
#   TINY=1 bash scripts/eli5.sh                      all stages in about a minute, on text made here
#   RAW=~/eli5 MIN_LENGTH=200 MAX_LENGTH=500 ...     other lengths of an answer in pieces; the paper's are 150 to 200
# Data: RAW is a folder with {train,valid,test}.{source,target}, a line each. They are made, not fetched: the scripts of
# github.com/facebookresearch/ELI5 collect them from Reddit and Common Crawl; the archive of Reddit that they read is no
# longer public. Take their multitask_source and multitask_target (the published model's; qd_* are questions alone).
# The paper says big model, beam 5, lengths, no trigram twice. The other settings are ELI5's own, README there: its
# architecture, Adam, lr 1e-4, inverse square root, dropout 0.1. Open in both: batch and updates. Here 32K joint pieces.
# Published ROUGE-1/2/L: 29.4/5.5/23.4; without LayerDrop 28.9/5.4/23.1. Days on 8 GPUs.
# Variables of every recipe (OUT, GPUS, UPDATE_FREQ, PRECISION, SETUP): scripts/recipes/stages.sh.
set -euo pipefail
source "$(dirname "$0")/help.sh"
NAME=eli5
source "$(dirname "$0")/recipes/stages.sh"
source "$(dirname "$0")/recipes/generation.sh"
: "${DROPOUT:=0.1}" "${LR:=0.0001}" "${BEAM:=5}" "${MIN_LENGTH:=$(sized 150 8)}" "${MAX_LENGTH:=$(sized 200 20)}"
: "${UPDATES:=$(sized 50000 24)}" "${WARMUP:=$(sized 4000 5)}" "${TOKENS:=$(sized 4096 4000)}"
: "${SAVE:=$(sized 2000 12)}" "${PIECES:=$(sized 32000 90)}" "${POSITIONS:=$(sized 4096 1024)}"
update_freq "$(sized 32 1)" # 8 GPUs, each with 4 batches
LONG="--truncate-source --max-source-positions $POSITIONS --max-target-positions $POSITIONS
  --skip-invalid-size-inputs-valid-test"

prepare() {
  [ -n "$TINY" ] || [ -d "$RAW" ] ||
    die "RAW must be a folder with {train,valid,test}.{source,target} (how to make it: see $0), but is '$RAW'."
  run mkdir -p "$OUT/text"
  [ -z "$TINY" ] || { run python scripts/recipes/tiny_data.py eli5 "$OUT/made"; RAW=$OUT/made; }
  for file in train.source train.target valid.source valid.target test.source test.target; do
    fetch "" - "$OUT/text/$file"
  done
}
preprocess() { binarize "$PIECES"; }
train() {
  run fairseq-train "$OUT/bin" --task translation --user-dir layerdrop_plugin \
    --arch layerdrop_transformer_wmt_en_de_big_t2t $LAYERS $(sized "" "$NARROW") --dropout "$DROPOUT" \
    --attention-dropout 0.1 --activation-dropout 0.1 $ADAM $(inverse_sqrt "$LR" "$WARMUP" "$UPDATES") $LONG \
    --max-tokens "$TOKENS" --update-freq "$UPDATE_FREQ" --seed "$SEED" $DEVICES \
    --save-dir "$OUT/train" --no-epoch-checkpoints --save-interval-updates "$SAVE" --keep-interval-updates 1
}
average() { run layerdrop-average --inputs "$OUT/train/checkpoint_best.pt" --output "$OUT/average.pt" --force; }
evaluate() {
  generate --beam "$BEAM" --min-len "$MIN_LENGTH" --max-len-b "$MAX_LENGTH" --no-repeat-ngram-size 3 $LONG \
    --remove-bpe sentencepiece --batch-size 32 --max-tokens "$(sized 12288 4000)"
}
score() { run_to "$OUT/scores.txt" python scripts/recipes/rouge.py "$OUT" --references "$OUT/text/test.target"; }
stages prepare preprocess train average evaluate score
