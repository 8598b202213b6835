#!/usr/bin/env bash
# The paper's Fig. 2, 4 and 6 in small, for a language model: what dropping heads, FFNs, sub-layers or layers brings and
# costs in training, perplexity over pruned depth for each rate, for training at just these depths and for a model of each
# depth on its own, and which layers to keep: fixed, learned or searched.
#   DATA=FOLDER bash scripts/benchmarks/structured_dropout.sh     {train,valid,test}.txt, plain text
#   TINY=1 bash scripts/benchmarks/structured_dropout.sh          tries it on text made here; its numbers mean nothing
#   STAGES="prepare train" MODELS="none heads" DATA=... bash ...  a part; then a second shell may train other MODELS
# Tables in Markdown on standard output, progress on standard error, files and plot in OUT: what is there is not made
# again, an interrupted training goes on. `speed` wants an idle machine. Settings: structured_dropout_settings.sh.
set -euo pipefail
source "$(dirname "$0")/../help.sh"
source "$(dirname "$0")/structured_dropout_settings.sh" # changes into the project's folder
source $HERE/structured_dropout_training.sh

prepare() {
  [ ! -e "$OUT/bin/test.idx" ] || return 0
  run mkdir -p "$OUT/text"
  [ -n "$DATA" ] || run python scripts/recipes/tiny_data.py pairs "$OUT/text"
  for split in ${DATA:+train valid test}; do run ln -sfn "$DATA/$split.txt" "$OUT/text/$split.en"; done
  run python scripts/recipes/pieces.py "$OUT/text" "$OUT/pieces" --languages en --size "$PIECES"
  run rm -rf "$OUT/bin" # fairseq does not write over a dictionary
  run fairseq-preprocess --only-source --trainpref "$OUT/pieces/train.en" --validpref "$OUT/pieces/valid.en" \
    --testpref "$OUT/pieces/test.en" --destdir "$OUT/bin"
}
train() {
  for name in $MODELS; do finished "$name" || (one_training "$name"); done
}
evaluate() {
  for name in $MODELS; do finished "$name" || die "'$name' must be trained before it is evaluated."; done
  benchmark evaluate --keep "$KEEP" --batches="$BATCHES"
}
speed() { benchmark speed --training="$TRAINING" --rounds "$ROUNDS" --steps "$STEPS"; }
report() { benchmark report --about "$ABOUT" --command "${settings}bash $HERE/structured_dropout.sh"; }

for stage in $STAGES; do
  if [ "$stage" = report ]; then report; else say "$stage" && "$stage" >&2; fi
done
