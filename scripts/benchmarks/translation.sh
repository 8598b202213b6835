#!/usr/bin/env bash
# The paper's Fig. 2 in small: one 6+6-layer translation model trained with each rate, and one trained at each depth,
# all pruned to several depths; beside them a model of each smaller depth that is trained on its own.
#   DATA=~/multi30k bash scripts/benchmarks/translation.sh     {train,valid,test}.{en,de}, plain text
#   TINY=1 bash scripts/benchmarks/translation.sh              in a minute, on text made here
#   RATES="0 0.2" TRAIN_DEPTHS= SMALL= DATA=... bash ...       rates alone
# Equal updates for all models. Writes results/translation/scores.txt and scores.png; stages as in the recipes.
set -euo pipefail
source "$(dirname "$0")/../help.sh"
NAME=translation STACKS="encoder decoder" PRECISION=${PRECISION-} TRAIN_DEPTHS=${TRAIN_DEPTHS-4,3,2}
source "$(dirname "$0")/../recipes/stages.sh"
: "${RATES=0 0.2 0.5}" "${SMALL=4 3 2}" "${DEPTHS:=6 4 3 2}"
: "${UPDATES:=$(sized 4500 20)}" "${SEED:=1}" "${PIECES:=$(sized 6000 60)}"
: "${WIDTH:=$(sized 128 16)}" "${FFN:=$(sized 256 16)}" "${REPEATS:=$(sized 3 1)}" "${DATA:=}"
DATA=$(absolute "$DATA")
for depth in $DEPTHS; do case $depth in [1-6]) ;; *) die "DEPTHS must be from 1 to 6, but one is '$depth'." ;; esac; done
for depth in $SMALL; do case $depth in [1-5]) ;; *) die "SMALL must be from 1 to 5, but one is '$depth'." ;; esac; done
for rate in $RATES; do case $rate in 0 | 0.[0-9]*) ;; *) die "RATES must be from 0 to 1, but one is '$rate'." ;; esac; done
SIZE="--encoder-embed-dim $WIDTH --encoder-ffn-embed-dim $FFN --encoder-attention-heads 4 --decoder-embed-dim $WIDTH
  --decoder-ffn-embed-dim $FFN --decoder-attention-heads 4 --encoder-normalize-before --decoder-normalize-before
  --share-all-embeddings --dropout 0.1"
TRAINING="--criterion label_smoothed_cross_entropy --label-smoothing 0.1 --optimizer adam --adam-betas (0.9,0.98)
  --clip-norm 1 --lr 2e-3 --lr-scheduler polynomial_decay --warmup-updates $((UPDATES / 10)) --total-num-update $UPDATES
  --max-update $UPDATES --max-tokens 2000 --seed $SEED --num-workers 0 --no-epoch-checkpoints --save-interval 4"

prepare() {
  [ -z "$TINY" ] || { DATA=$OUT/made; run python scripts/recipes/tiny_data.py pairs "$DATA"; }
  [ -n "$TINY" ] || [ -d "$DATA" ] || die "DATA must be a folder with {train,valid,test}.{en,de}, but is '$DATA'."
  run python scripts/recipes/pieces.py "$DATA" "$OUT/pieces" --languages en de --size "$PIECES"
  run cp "$DATA/test.de" "$OUT/reference.txt"
}
preprocess() {
  run rm -rf "$OUT/bin" # fairseq does not write over a dictionary
  run fairseq-preprocess --source-lang en --target-lang de --joined-dictionary --trainpref "$OUT/pieces/train" \
    --validpref "$OUT/pieces/valid" --testpref "$OUT/pieces/test" --destdir "$OUT/bin"
}
one_training() { # NAME LAYERS OPTIONS...
  run fairseq-train "$OUT/bin" --user-dir layerdrop_plugin --arch layerdrop_transformer $SIZE --encoder-layers "$2" \
    --decoder-layers "$2" $TRAINING $DEVICES "${@:3}" --save-dir "$OUT/train/$1"
}
train() {
  local rate depth
  for rate in $RATES; do one_training "$rate" 6 --encoder-layerdrop "$rate" --decoder-layerdrop "$rate"; done
  [ -z "$TRAIN_DEPTHS" ] || one_training depths 6 $DEPTHS_OPTION
  for depth in $SMALL; do one_training "small-$depth" "$depth"; done
}
one_evaluation() { # FOLDER DEPTH REPEAT MODEL
  run_to "$OUT/evaluate/$1/$2.$3.txt" fairseq-generate "$OUT/bin" --user-dir layerdrop_plugin $DEVICE \
    --path "$OUT/train/$4/checkpoint_last.pt" --model-overrides "$(overrides "every_other:$2")" \
    --gen-subset test --beam 5 --batch-size 100 --max-len-a 1.2 --max-len-b 10 --remove-bpe sentencepiece
}
evaluate() { # the repeats one after another, so that a slow moment of the machine does not fall on one model
  local repeat model depth
  run rm -rf "$OUT/evaluate" # models and depths of other settings
  for repeat in $(seq "$REPEATS"); do
    for depth in $DEPTHS; do
      for model in $RATES ${TRAIN_DEPTHS:+depths}; do one_evaluation "$model" "$depth" "$repeat" "$model"; done
    done
    for depth in $SMALL; do one_evaluation small "$depth" "$repeat" "small-$depth"; done
  done
}
score() {
  run_to "$OUT/scores.txt" python scripts/benchmarks/depths.py "$OUT/evaluate" --models "$OUT/train" \
    --trained-depths "$TRAIN_DEPTHS" --reference "$OUT/reference.txt" --plot "$OUT/scores.png"
}
stages prepare preprocess train evaluate score
