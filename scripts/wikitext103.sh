#!/usr/bin/env bash
# Language modeling on WikiText-103 (paper, section 4.2): 16 layers with LayerDrop, also pruned to 13 and 8.
#   bash scripts/wikitext103.sh                      all stages: prepare preprocess train average evaluate score
#   STAGE=train bash scripts/wikitext103.sh          one of them
#   DRY_RUN=1 bash scripts/wikitext103.sh            prints every command
#   TINY=1 bash scripts/wikitext103.sh               all stages in about a minute, on text made here
#   RAW=~/wikitext-103-v1.zip ...                    takes a copy that you have; else it is fetched (181 MB)
#   LAYERS=40 FFN=2560 ...                           the paper's model of 423M parameters
# The 16 layers took the authors days on 8 GPUs; published: perplexity 18.3 on test; 20.78 pruned to 8 (valid).
# Variables of every recipe (OUT, GPUS, UPDATE_FREQ, PRECISION, SETUP): scripts/recipes/stages.sh.
set -euo pipefail
source "$(dirname "$0")/help.sh"
NAME=wikitext103 STACKS=decoder PRECISION=${PRECISION-}
source "$(dirname "$0")/recipes/stages.sh"
: "${KEEP=$(sized "drop:0.2 every_other:8" "drop:0.25 every_other:2")}"
: "${LAYERS:=$(sized 16 4)}" "${FFN:=$(sized 4096 64)}"
: "${SEED:=1}" "${UPDATES:=$(sized 286000 30)}" "${WARMUP:=$(sized 16000 10)}"
: "${TOKENS:=$(sized 3072 64)}" "${CONTEXT:=$(sized 2560 32)}"
update_freq "$(sized 24 1)" # 8 GPUS, each with 3 batches
URL=https://wikitext.smerity.com/wikitext-103-v1.zip TEXT=$OUT/raw/wikitext-103/wiki
MODEL="--arch layerdrop_transformer_lm_wiki103 --decoder-layers $LAYERS --decoder-ffn-embed-dim $FFN
  --decoder-layerdrop $RATE $DEPTHS_OPTION $(sized "" "--decoder-embed-dim 32 --decoder-input-dim 32 --decoder-output-dim 32
  --decoder-attention-heads 2 --adaptive-input-cutoff 20,40 --adaptive-softmax-cutoff 20,40")"
TRAINING="--criterion adaptive_loss --optimizer nag --lr 1.0 --clip-norm 0.1 --lr-scheduler cosine --t-mult 2
  --lr-period-updates $((UPDATES - WARMUP)) --lr-shrink 0.75 --warmup-updates $WARMUP --warmup-init-lr 1e-07
  --min-lr 0.0001 --stop-min-lr 1e-09 --max-update $UPDATES --max-tokens $TOKENS --update-freq $UPDATE_FREQ
  --tokens-per-sample $TOKENS --sample-break-mode none --skip-invalid-size-inputs-valid-test --seed $SEED"

prepare() {
  run mkdir -p "$OUT/raw"
  [ -z "$TINY" ] || { run python scripts/recipes/tiny_data.py wikitext103 "$OUT/raw/made"; RAW=$OUT/raw/made; }
  fetch "$URL" 242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590 "$OUT/raw/wikitext-103-v1.zip"
  run python -m zipfile -e "$OUT/raw/wikitext-103-v1.zip" "$OUT/raw"
}
preprocess() {
  run rm -rf "$OUT/bin" # fairseq does not write over a dictionary
  run fairseq-preprocess --only-source --trainpref "$TEXT.train.tokens" --validpref "$TEXT.valid.tokens" \
    --testpref "$TEXT.test.tokens" --destdir "$OUT/bin" --workers "$(sized 20 1)"
}
train() {
  run fairseq-train "$OUT/bin" --task language_modeling --user-dir layerdrop_plugin $MODEL $TRAINING $DEVICES \
    --save-dir "$OUT/train" --no-epoch-checkpoints
}
average() { run layerdrop-average --inputs "$OUT/train/checkpoint_best.pt" --output "$OUT/average.pt" --force; }
evaluate() { # with --tokens-per-sample, else the context is taken off 1,024 tokens and nothing is left to score
  local kept subset
  run rm -rf "$OUT/evaluate" # depths of other settings
  for kept in full $KEEP; do
    for subset in valid test; do
      run_to "$OUT/evaluate/$subset-$kept.txt" fairseq-eval-lm "$OUT/bin" --user-dir layerdrop_plugin $DEVICE \
        --path "$OUT/average.pt" --model-overrides "$(overrides "$kept")" --gen-subset $subset \
        --sample-break-mode complete --max-tokens "$TOKENS" --tokens-per-sample "$TOKENS" \
        --context-window "$CONTEXT" --softmax-batch 1024
    done
  done
}
score() { run_to "$OUT/scores.txt" python scripts/recipes/perplexities.py "$OUT/evaluate" --context-window "$CONTEXT"; }
stages prepare preprocess train average evaluate score
