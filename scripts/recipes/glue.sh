# Sourced by roberta.sh: GLUE's tasks, their data, finetuning and scores. $MODEL is the pretrained checkpoint.

GLUE=https://dl.fbaipublicfiles.com/glue/data SENTEVAL=https://dl.fbaipublicfiles.com/senteval/senteval_data
: "${TASKS:=$(sized "MNLI MRPC QNLI SST-2" "MNLI MRPC SST-2")}"
: "${FINETUNING:=$(sized "" 2)}" # FINETUNING: updates, other than the paper's
for task in $TASKS; do
  case $task in MNLI | MRPC | QNLI | SST-2) ;; *) die "TASKS must be of MNLI MRPC QNLI SST-2, but is '$TASKS'." ;; esac
done

of_task() { # TASK: batch, updates, classes (paper; fairseq's README.glue.md)
  case $1 in MNLI) echo 32 123873 3 ;; MRPC) echo 16 2296 2 ;; QNLI) echo 32 33112 2 ;; SST-2) echo 32 20935 2 ;; esac
}

fetch_glue() { # the sums are those of TensorFlow Datasets and of Hugging Face
  local task
  for task in $TASKS; do
    case $task in
      MNLI) from_glue MNLI.zip e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633 ;;
      QNLI) from_glue QNLIv2.zip e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5 ;;
      SST-2) from_glue SST-2.zip d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa ;;
      MRPC)
        from_glue mrpc_dev_ids.tsv 971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7
        fetch $SENTEVAL/msr_paraphrase_train.txt 60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89 \
          "$OUT/raw/msr_paraphrase_train.txt" ;;
    esac
  done
}

from_glue() { # FILE SHA256
  fetch "$GLUE/$1" "$2" "$OUT/raw/$1"
}

finetune() { # fairseq's README.glue.md; on one device, as there
  local task kept batch updates classes layers
  for task in $TASKS; do
    read -r batch updates classes <<<"$(of_task "$task")"
    updates=${FINETUNING:-$updates}
    for kept in full $KEEP; do # pruned first, then finetuned without LayerDrop; in full, with it
      layers="--encoder-layerdrop 0 --encoder-layers-to-keep $kept"
      [ "$kept" != full ] || layers="--encoder-layerdrop $RATE"
      run_on "$OUT/finetune/$task/$kept" fairseq-train "$OUT/bin/$task" --task sentence_prediction \
        --criterion sentence_prediction --user-dir layerdrop_plugin $SHAPE $layers --finetune-from-model "$MODEL" \
        --num-classes "$classes" --init-token 0 --separator-token 2 --shorten-method truncate \
        --batch-size "$batch" --max-tokens 4400 --required-batch-size-multiple 1 $TRAINING \
        --weight-decay 0.1 --lr 1e-5 --total-num-update "$updates" --warmup-updates $((updates * 6 / 100)) \
        --max-update "$updates" --max-epoch 10 \
        --best-checkpoint-metric accuracy --maximize-best-checkpoint-metric --no-epoch-checkpoints \
        $DEVICE --distributed-world-size 1 --fp16-init-scale 4 --threshold-loss-scale 1 --fp16-scale-window 128 \
        --save-dir "$OUT/finetune/$task/$kept"
    done
  done
}

run_on() { # FOLDER COMMAND...: goes on with a training that was stopped; leaves one that is done
  local folder=$1 begun
  shift
  if [ -n "$DRY_RUN" ]; then run "$@"; return; fi
  begun=$(quoted "$@" && cksum <"$MODEL")
  if [ -e "$folder/command.txt" ]; then
    [ "$(cat "$folder/command.txt")" = "$begun" ] ||
      die "$folder was begun with other settings or another model; choose another OUT, or remove it."
    [ ! -e "$folder/done" ] || { say "$folder: there already"; return; }
  fi
  mkdir -p "$folder"
  echo "$begun" >"$folder/command.txt"
  run "$@"
  touch "$folder/done"
}

score() { # a pruned checkpoint says itself which layers it holds
  local task kept
  for task in $TASKS; do
    for kept in full $KEEP; do
      run_to "$OUT/score/$task/$kept.txt" fairseq-validate "$OUT/bin/$task" --user-dir layerdrop_plugin $DEVICE \
        --task sentence_prediction --criterion sentence_prediction \
        --path "$OUT/finetune/$task/$kept/checkpoint_best.pt" --batch-size 32
    done
  done
  run_to "$OUT/scores.txt" python scripts/recipes/accuracies.py "$OUT" --layers "$LAYERS" --tasks $TASKS \
    --kept full $KEEP
}
