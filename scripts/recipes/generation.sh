# Sourced after stages.sh by the recipes whose models generate text: what they have in common.

STACKS="encoder decoder"
: "${ENCODER_LAYERS:=6}" "${DECODER_LAYERS:=6}" "${SEED:=1}" "${AVERAGE:=$(sized 10 3)}"
two_thirds=every_other:$((ENCODER_LAYERS * 2 / 3))+every_other:$((DECODER_LAYERS * 2 / 3))
half=every_other:$((ENCODER_LAYERS / 2))+every_other:$((DECODER_LAYERS / 2))
half_decoder=every_other:$ENCODER_LAYERS+every_other:$((DECODER_LAYERS / 2))
: "${KEEP=$(sized "$two_thirds $half $half_decoder" "$half $half_decoder")}"
LAYERS="--encoder-layers $ENCODER_LAYERS --decoder-layers $DECODER_LAYERS --share-all-embeddings
  --encoder-layerdrop $RATE --decoder-layerdrop $RATE $DEPTHS_OPTION"
NARROW="--encoder-embed-dim 32 --encoder-ffn-embed-dim 64 --encoder-attention-heads 2
  --decoder-embed-dim 32 --decoder-ffn-embed-dim 64 --decoder-attention-heads 2"
ADAM="--criterion label_smoothed_cross_entropy --label-smoothing 0.1 --optimizer adam --adam-betas (0.9,0.98)
  --clip-norm 0 --weight-decay 0"

cosine() { # LR WARMUP UPDATES: one fall from the top to the end, as in fairseq's pay_less_attention
  echo "--lr-scheduler cosine --lr $1 --min-lr 1e-07 --warmup-updates $2 --warmup-init-lr 1e-07 --t-mult 1
    --lr-shrink 1 --lr-period-updates $(($3 - $2)) --max-update $3"
}

inverse_sqrt() { # LR WARMUP UPDATES: as in fairseq's scaling_nmt, whose --min-lr is --stop-min-lr now
  echo "--lr-scheduler inverse_sqrt --lr $1 --stop-min-lr 1e-09 --warmup-updates $2 --warmup-init-lr 1e-07
    --max-update $3"
}

has_lines() { # NUMBER FILE
  run_as "[ \$(wc -l <$(quoted "$2")) -eq $1 ]" check_lines "$1" "$2"
}

check_lines() { # NUMBER FILE
  local found
  found=$(wc -l <"$2")
  [ "$found" -eq "$1" ] || die "$(basename "$2") must have $1 lines, but has $((found))."
}

average_last() { # the paper averages the last ten checkpoints: epochs, in fairseq's recipes
  run layerdrop-average --inputs "$OUT/train" --num-epoch-checkpoints "$AVERAGE" --output "$OUT/average.pt" --force
}

generate() { # OPTIONS...: the test set, in full depth and pruned; not to standard output, where logs cut lines in two
  local kept
  run rm -rf "$OUT/evaluate" # depths of other settings
  for kept in full $KEEP; do
    run_to "$OUT/evaluate/$kept.txt" fairseq-generate "$OUT/bin" --user-dir layerdrop_plugin $DEVICE --gen-subset test \
      --path "$OUT/average.pt" --model-overrides "$(overrides "$kept")" --results-path "$OUT/evaluate/$kept" "$@"
  done
}

binarize() { # NUMBER: of the joint pieces that text/{train,valid,test}.{source,target} are cut into
  run python scripts/recipes/pieces.py "$OUT/text" "$OUT/pieces" --languages source target --size "$1"
  run rm -rf "$OUT/bin" # fairseq does not write over a dictionary
  run fairseq-preprocess --source-lang source --target-lang target --joined-dictionary --trainpref "$OUT/pieces/train" \
    --validpref "$OUT/pieces/valid" --testpref "$OUT/pieces/test" --destdir "$OUT/bin" --workers "$(sized 20 1)"
}
