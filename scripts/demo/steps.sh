# Sourced by scripts/demo.sh: sets up, runs each step once, shows its progress, and names the step that failed.

SAVING="--cpu --num-workers 0 --log-format json --log-interval 10 --no-epoch-checkpoints --save-interval-updates 250
  --keep-interval-updates 1"
TRANSLATING="--cpu --gen-subset test --beam 1 --batch-size 250 --max-len-a 1.2 --max-len-b 10
  --remove-bpe sentencepiece"

WATCH= # more options of watch.py

say() { echo "demo: $*" >&2; }

start() { # makes the environment and the folder
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} PYTHONWARNINGS=ignore
  trap stopped INT TERM
  mkdir -p "$DEMO_DIR"/{done,log,output}
  DEMO_DIR=$(cd "$DEMO_DIR" && pwd)
  cd "$root"
  [ "${SETUP:-1}" = 0 ] || { # 0: the active environment
    bash scripts/setup.sh || { say "step 'setup' failed"; exit 1; }
    PATH=$root/.venv/bin:$PATH
  }
}

stopped() {
  say "stopped; the same command goes on from here"
  exit 130
}

keep_setting() { # FILE VALUE: the folder keeps its settings
  local file=$DEMO_DIR/$1
  if [ ! -e "$file" ]; then
    echo "$2" >"$file.new" && mv "$file.new" "$file"
  elif [ "$2" != "$(cat "$file")" ]; then
    say "$DEMO_DIR was made with other settings: choose another DEMO_DIR, or start over with: rm -r '$DEMO_DIR'"
    exit 2
  fi
}

step() { # NAME WORDS COMMAND...: a marker says that it is done; the log goes to log/NAME.txt
  local name=$1 words=$2 log=$DEMO_DIR/log/$1.txt
  shift 2
  if [ -e "$DEMO_DIR/done/$name" ]; then
    say "$words: there already"
    return
  fi
  say "$words (log/$name.txt)"
  if ! "$@" 2>&1 | tee -a "$log" | python scripts/demo/watch.py "${WATCHED:-$UPDATES}" $WATCH; then
    tail -n 3 "$log" >&2
    say "step '$name' failed: $words; the whole log is $log"
    exit 1
  fi
  touch "$DEMO_DIR/done/$name"
}

preprocess() { # PIECES BIN
  rm -rf "$2" # fairseq-preprocess does not write over a dictionary
  fairseq-preprocess --source-lang en --target-lang de --joined-dictionary --destdir "$2" \
    --trainpref "$1/train" --validpref "$1/valid" --testpref "$1/test"
}

side_by_side() { # COMMAND "NAME..." "NAME...": the command for each name of both lists, which take a core each
  local list lists=() failed=
  set -m # a list and its commands are a process group: they stop together
  for list in "${@:2}"; do
    (
      OMP_NUM_THREADS=1
      for name in $list; do WATCH="--name $name" "$1" "$name"; done
    ) </dev/null &
    lists+=(-$!)
  done
  set +m
  trap 'kill -- "${lists[@]}"; stopped' INT TERM
  for list in "${lists[@]}"; do wait "${list#-}" || failed=1; done
  trap stopped INT TERM
  [ -z "$failed" ] || { say "a training failed, see above; the same command goes on from here"; exit 1; }
}

binarize_language_model() { # the German side
  local pieces=$DEMO_DIR/pieces
  [ -e "$DEMO_DIR/done/binarize-lm" ] || rm -rf "$DEMO_DIR/lm-bin"
  step binarize-lm "number the German pieces" fairseq-preprocess --only-source --srcdict "$DEMO_DIR/bin/dict.de.txt" \
    --trainpref "$pieces/train.de" --validpref "$pieces/valid.de" --testpref "$pieces/test.de" --destdir "$DEMO_DIR/lm-bin"
}

train_language_model() {
  local WATCHED=$((UPDATES / 4))
  step train-lm "train a language model of 6 layers with LayerDrop" fairseq-train "$DEMO_DIR/lm-bin" \
    --user-dir layerdrop_plugin --task language_modeling --sample-break-mode eos --arch layerdrop_transformer_lm_gpt \
    --decoder-layerdrop "$RATE" --decoder-layers 6 --decoder-embed-dim 128 --decoder-ffn-embed-dim 256 \
    --decoder-attention-heads 4 --dropout 0 --share-decoder-input-output-embed --optimizer adam --lr 2e-3 \
    --lr-scheduler polynomial_decay --warmup-updates $((WATCHED / 10)) --total-num-update $WATCHED \
    --max-update $WATCHED --max-tokens 1000 --validate-after-updates $WATCHED --seed "$SEED" \
    --save-dir "$DEMO_DIR/models/lm" $SAVING
}

evaluate_language_model() { # perplexity at each of LM_DEPTHS
  local depth overrides
  for depth in $LM_DEPTHS; do
    overrides="{'decoder_layers_to_keep': 'every_other:$depth'}"
    step "evaluate-lm-$depth" "evaluate the language model with $depth layers" fairseq-eval-lm "$DEMO_DIR/lm-bin" \
      --user-dir layerdrop_plugin --path "$DEMO_DIR/models/lm/checkpoint_last.pt" --model-overrides "$overrides" \
      --gen-subset test --sample-break-mode eos --max-tokens 4000 --cpu
  done
}

finish() { # the table, the plot, and what to try next
  python scripts/demo/scores.py "$DEMO_DIR" || { say "step 'table' failed"; exit 1; }
  python scripts/demo/perplexities.py "$DEMO_DIR" || { say "step 'perplexities' failed"; exit 1; }
  python scripts/demo/plot.py "$DEMO_DIR" || { say "step 'plot' failed"; exit 1; }
  say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s"
  cat <<TEXT

Every row of a model is one training, loaded with some of its layers: --model-overrides chose them. Try next:
  bash scripts/demo.sh --compare                               the same model trained without LayerDrop
  RATE=0.1 DEMO_DIR=demo-0.1 bash scripts/demo.sh              a lower rate: better in full, worse when little is kept
  UPDATES=6000 DEMO_DIR=demo-long bash scripts/demo.sh         longer training closes the gap at full depth
  .venv/bin/fairseq-interactive ${DEMO_DIR}/bin --user-dir layerdrop_plugin \\
    --path ${DEMO_DIR}/models/with/checkpoint_last.pt --cpu --bpe sentencepiece \\
    --sentencepiece-model ${DEMO_DIR}/pieces/joint.model       your own date or amount
Start over: rm -r '$DEMO_DIR'
TEXT
}
