#!/usr/bin/env bash
# Distils a translation model into a part of itself: the pruned student learns from what the full model translates
# (sequence-level knowledge distillation: Kim and Rush, 2016, arXiv 1606.07947).
#   TEACHER=CKPT BIN=FOLDER MODEL="--arch ..." bash scripts/distil.sh
#                            all stages: prepare translate preprocess train evaluate score
#   STAGE=translate ...      one of them
#   DRY_RUN=1 ...            prints every command
#   TINY=1 bash scripts/distil.sh    all stages in about a minute, with a teacher trained here on text made here
# TEACHER is the full model, BIN the data that it was trained on (binarized), and MODEL the options of fairseq-train for
# the teacher's architecture and its size: the full depth, which KEEP prunes. Others:
#   KEEP=every_other:3+every_other:3    the student's encoder and decoder layers
#   PAIR=en-de REMOVE_BPE=sentencepiece    languages; what fairseq-generate joins pieces by
#   BEAM=5 LENPEN=1 SHARDS=8               the beam search; a shard that is done is not done again
#   UPDATES=N LR=0.0005 TOKENS=4000        the student's training; about a tenth of the teacher's updates
#   WEIGHT=0.5 TEMPERATURE=1               learns from the teacher's distributions, too (layerdrop_distillation)
# Variables of every recipe (OUT, GPUS, UPDATE_FREQ, PRECISION, SETUP): scripts/recipes/stages.sh.
set -euo pipefail
source "$(dirname "$0")/help.sh"
NAME=distil
source "$(dirname "$0")/recipes/stages.sh"
[ -z "$TINY" ] || [ -z "${TEACHER:-}${BIN:-}" ] || die "TEACHER and BIN must be left out with TINY=1, which makes its own."
: "${TEACHER:=$(sized "" "$OUT/teacher/checkpoint_last.pt")}" "${BIN:=$(sized "" "$OUT/raw/bin")}" "${MODEL:=}"
: "${KEEP:=$(sized every_other:3+every_other:3 every_other:2+every_other:2)}"
: "${PAIR:=en-de}" "${REMOVE_BPE:=subword_nmt}"
: "${BEAM:=$(sized 5 2)}" "${LENPEN:=1}" "${SHARDS:=$(sized 8 2)}"
: "${UPDATES:=$(sized 3000 6)}" "${LR:=0.0005}" "${SEED:=1}"
: "${TOKENS:=$(sized 4000 1200)}" "${UPDATE_FREQ:=1}" "${WEIGHT:=0}" "${TEMPERATURE:=1}"
SEARCH="--beam $BEAM --lenpen $LENPEN --max-len-a 1.2 --max-len-b 10 --max-tokens $TOKENS" # a bad model rambles
STACKS="encoder decoder" SOURCE=${PAIR%-*} TARGET=${PAIR#*-} TEACHER=$(absolute "$TEACHER") BIN=$(absolute "$BIN")
small="--arch layerdrop_transformer_tiny --share-all-embeddings --encoder-layers 4 --decoder-layers 4"
[ -z "$TINY" ] || : "${MODEL:=$small}"
[ -n "$TEACHER" ] && [ -n "$BIN" ] && [ -n "$MODEL" ] || die "TEACHER, BIN and MODEL must be set: see its head."
[[ $MODEL == *--arch* ]] || die "MODEL must have the teacher's --arch, but is '$MODEL'."
[[ $KEEP =~ ^[^+]+\+[^+]+$ ]] || die "KEEP must be encoder+decoder layers, as in every_other:3+0-2, but is '$KEEP'."
layers() { [[ "$MODEL " =~ --$1-layers[[:space:]=]+([0-9]+)[[:space:]] ]] && echo "${BASH_REMATCH[1]}" || true; } # STACK
ENCODER_LAYERS=$(layers encoder) DECODER_LAYERS=$(layers decoder) # by which KEEP is checked
case $SHARDS in 0* | *[!0-9]*) die "SHARDS must be a whole number of at least 1, but is '$SHARDS'." ;; esac

prepare() {
  if [ -n "$TINY" ]; then
    run python scripts/recipes/tiny_data.py pairs "$OUT/raw"
    run rm -rf "$BIN" # fairseq does not write over a dictionary
    run fairseq-preprocess --source-lang "$SOURCE" --target-lang "$TARGET" --joined-dictionary --destdir "$BIN" \
      --trainpref "$OUT/raw/train" --validpref "$OUT/raw/valid" --testpref "$OUT/raw/test"
    run fairseq-train "$BIN" --user-dir layerdrop_plugin $MODEL --criterion label_smoothed_cross_entropy \
      --optimizer adam --lr 0.005 --max-tokens "$TOKENS" --max-update 8 --cpu --disable-validation \
      --no-epoch-checkpoints --save-dir "$OUT/teacher"
  fi
  local file
  for file in "$TEACHER" "$BIN/dict.$SOURCE.txt" "$BIN/dict.$TARGET.txt" "$BIN/train.$PAIR.$SOURCE.idx"; do
    run_as "[ -f $(quoted "$file")]" check_file "$file"
  done
}
check_file() { [ -f "$1" ] || die "TEACHER and BIN must be there, but $1 is not."; } # FILE
translate() { # not to standard output, where logs cut lines in two
  local how=($SEARCH --num-shards "$SHARDS") shard file teacher=$TEACHER
  [ ! -f "$TEACHER" ] || teacher+=" $(cksum <"$TEACHER")"
  echo "# with $teacher" # another model in the same place translates anew
  [ -n "$DRY_RUN" ] || same_settings "$OUT/translate" "$teacher $BIN ${how[*]}"
  for ((shard = 0; shard < SHARDS; shard++)); do
    file=$OUT/translate/$shard.txt
    if [ -z "$DRY_RUN" ] && [ -e "$file" ]; then say "shard $shard: there already" && continue; fi
    run_to "$file" fairseq-generate "$BIN" --user-dir layerdrop_plugin $DEVICE --gen-subset train --path "$TEACHER" \
      "${how[@]}" --shard-id "$shard" --skip-invalid-size-inputs-valid-test --results-path "$OUT/translate/$shard"
  done
}
same_settings() { # FOLDER SETTINGS: what was made with others goes
  [ ! -e "$1/settings" ] || [ "$(cat "$1/settings")" = "$2" ] || rm -rf "$1"
  mkdir -p "$1"
  echo "$2" >"$1/settings"
}
preprocess() { # the teacher's dictionaries; the sentences to validate and to test on are people's
  run python scripts/recipes/translated.py "$OUT/translate" "$OUT/text" --languages "$SOURCE" "$TARGET"
  run rm -rf "$OUT/bin"
  run fairseq-preprocess --source-lang "$SOURCE" --target-lang "$TARGET" --trainpref "$OUT/text/train" \
    --srcdict "$BIN/dict.$SOURCE.txt" --tgtdict "$BIN/dict.$TARGET.txt" --destdir "$OUT/bin" --workers "$(sized 20 1)"
  local split language
  for split in valid test; do
    for language in "$SOURCE" "$TARGET"; do
      run cp "$BIN/$split.$PAIR.$language.bin" "$BIN/$split.$PAIR.$language.idx" "$OUT/bin"
    done
  done
}
train() {
  local criterion=(--criterion label_smoothed_cross_entropy)
  [ "$WEIGHT" = 0 ] || criterion=(--criterion layerdrop_distillation --layerdrop-teacher "$TEACHER"
    --layerdrop-distill-criterion label_smoothed_cross_entropy --layerdrop-distill-weight "$WEIGHT"
    --layerdrop-distill-temperature "$TEMPERATURE")
  run fairseq-train "$OUT/bin" --user-dir layerdrop_plugin $MODEL --finetune-from-model "$TEACHER" \
    --encoder-layers-to-keep "${KEEP%%+*}" --decoder-layers-to-keep "${KEEP#*+}" "${criterion[@]}" \
    --label-smoothing 0.1 --optimizer adam --adam-betas '(0.9,0.98)' --clip-norm 0 --lr "$LR" \
    --lr-scheduler inverse_sqrt --warmup-updates "$((UPDATES / 10 + 1))" --max-update "$UPDATES" \
    --max-tokens "$TOKENS" --update-freq "$UPDATE_FREQ" --seed "$SEED" $DEVICES --save-dir "$OUT/train" \
    --no-epoch-checkpoints
}
evaluate() { # the teacher, what is left of it, and what that became
  run rm -rf "$OUT/evaluate"
  tested teacher --path "$TEACHER"
  tested pruned --path "$TEACHER" --model-overrides "$(overrides "$KEEP")"
  tested student --path "$OUT/train/checkpoint_best.pt"
}
tested() { # NAME MODEL...
  run_to "$OUT/evaluate/$1.txt" fairseq-generate "$OUT/bin" --user-dir layerdrop_plugin $DEVICE --gen-subset test \
    $SEARCH --remove-bpe "$REMOVE_BPE" --results-path "$OUT/evaluate/$1" "${@:2}"
}
score() { run_to "$OUT/scores.txt" python scripts/recipes/distilled.py "$OUT"; }
stages prepare translate preprocess train evaluate score
