#!/usr/bin/env bash
# Trains a small English-German model on data made here, with LayerDrop and at just the depths that are scored
# (--layerdrop-depths), prunes both at load and scores every depth; the same with a language model and LayerDrop.
#   bash scripts/demo.sh             tables on the terminal, a plot in demo/scores.png
#   bash scripts/demo.sh --compare   also the same model trained without LayerDrop
# What is there is used again, and training resumes; to start over: rm -r demo
# The first lines are settings: RATE=0.5 DEMO_DIR=demo-0.5 bash scripts/demo.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
: "${DEMO_DIR:=$root/demo}" "${RATE:=0.2}" "${UPDATES:=2000}" "${PAIRS:=60000}" "${DEPTHS:=6 5 4 3 2}" "${SEED:=1}"
: "${LM_DEPTHS:=6 4 3}"
SIZE="--encoder-layers 6 --encoder-embed-dim 128 --encoder-ffn-embed-dim 256 --encoder-attention-heads 4
  --decoder-layers 6 --decoder-embed-dim 128 --decoder-ffn-embed-dim 256 --decoder-attention-heads 4
  --encoder-normalize-before --decoder-normalize-before --share-all-embeddings --dropout 0"
TRAINING="--criterion label_smoothed_cross_entropy --label-smoothing 0.05 --optimizer adam --adam-betas (0.9,0.98)
  --lr 2e-3 --lr-scheduler polynomial_decay --warmup-updates $((UPDATES / 10)) --total-num-update $UPDATES
  --clip-norm 1 --max-tokens 1000 --max-update $UPDATES --validate-after-updates $UPDATES --seed $SEED"
models="with depths"
for option; do
  case $option in
    --compare) models+=" without" ;;
    -h | --help) sed -n '2,7s/^# //p' "$0" && exit ;;
    *) echo "demo.sh: the options are --compare and --help, but one is '$option'." >&2 && exit 2 ;;
  esac
done
source "$root/scripts/openmp.sh"
source "$root/scripts/demo/steps.sh"
minutes=$((1 + UPDATES * 7 / 2000))
case $models in *without*) minutes=$((minutes * 3 / 2)) ;; esac
say "takes about $minutes min on two idle cores, and some more for the set-up the first time"
start
keep_setting settings "RATE=$RATE PAIRS=$PAIRS $SIZE $TRAINING"
step data "make $PAIRS sentence pairs" python scripts/demo/make_data.py --out "$DEMO_DIR" --pairs $PAIRS --seed $SEED
step binarize "number their pieces" preprocess "$DEMO_DIR/pieces" "$DEMO_DIR/bin"
smaller=$(tr ' ' '\n' <<<"$DEPTHS" | { grep -vx 6 || true; } | paste -sd, -)
if [ -n "$smaller" ]; then keep_setting trained-depths "$smaller"; else models=${models/ depths/}; fi
binarize_language_model
how() { # MODEL
  case $1 in with) echo "with LayerDrop" ;; depths) echo "at each depth" ;; without) echo "without LayerDrop" ;; esac
}
train() { # MODEL
  local dropping=
  case $1 in
    lm) train_language_model && return ;;
    with) dropping="--encoder-layerdrop $RATE --decoder-layerdrop $RATE" ;;
    depths) dropping="--layerdrop-depths $smaller" ;;
  esac
  step "train-$1" "train 6+6 layers $(how "$1")" fairseq-train "$DEMO_DIR/bin" --user-dir layerdrop_plugin \
    --arch layerdrop_transformer $dropping $SIZE $TRAINING --save-dir "$DEMO_DIR/models/$1" $SAVING
}
side_by_side train "${models/ depths/}" "${smaller:+depths} lm"
for model in $models; do
  for depth in $DEPTHS; do
    kept=every_other:$depth
    step "translate-$model-$depth" "translate with $depth+$depth layers (trained $(how "$model"))" \
      fairseq-generate "$DEMO_DIR/bin" --user-dir layerdrop_plugin --path "$DEMO_DIR/models/$model/checkpoint_last.pt" \
      --model-overrides "{'encoder_layers_to_keep': '$kept', 'decoder_layers_to_keep': '$kept'}" \
      --results-path "$DEMO_DIR/output/$model/$depth" $TRANSLATING
  done
done
evaluate_language_model
finish
