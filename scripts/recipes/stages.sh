# Sourced by the recipes: runs their stages in order, each once, and names the one that failed.
#
# A recipe sets NAME and its variables, sources this file, defines a function for each stage, and ends with
# `stages prepare preprocess train ...`. In these functions `run COMMAND...` prints a command and runs it, and with
# DRY_RUN=1 prints it only, so that what is printed can be pasted. $OUT/done/STAGE marks a stage that is done and holds
# its commands: other settings are noticed. Variables of all recipes:
#   OUT=FOLDER        gets everything; results/NAME
#   RAW=PATH          the data, if you have it: the file that would be fetched, or the folder that holds it
#   GPUS=N            how many to train on; those that CUDA_VISIBLE_DEVICES or nvidia-smi show; 0 trains on CPU
#   UPDATE_FREQ=N     batches that each worker adds up; such that the effective batch is the paper's
#   PRECISION=--bf16  instead of --fp16; PRECISION= is float32
#   TRAIN_DEPTHS=9,6  trains these depths (--layerdrop-depths) in place of a drop rate; for two stacks 6+3,4+4; set KEEP
#                     too, to score them: KEEP="every_other:9 every_other:6"
#   SETUP=0           takes the environment that is active instead of .venv
#   STAGE=NAME, DRY_RUN=1, TINY=1: see a recipe

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
say() { echo "$NAME: $*" >&2; }
die() { say "$*"; exit 2; }
sized() { if [ -n "$TINY" ]; then echo "$2"; else echo "$1"; fi; } # FULL TINY: the value for this size
absolute() { case $1 in /* | "") echo "$1" ;; *) echo "$PWD/$1" ;; esac; } # the stages run in the project's folder

visible() { # how many GPUs there are to train on
  if [ -n "$TINY" ]; then
    echo 0
  elif [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
    tr , '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c . || true
  else
    nvidia-smi -L 2>/dev/null | grep -c '^GPU ' || true
  fi
}

((BASH_VERSINFO[0] * 10 + BASH_VERSINFO[1] >= 44)) || die "bash must be 4.4 or newer, but is $BASH_VERSION."
: "${TINY:=}" "${DRY_RUN:=}" "${STAGE:=}" "${RAW:=}" "${OUT:=$root/results/${TINY:+tiny-}$NAME}" "${SETUP:=1}"
: "${GPUS:=$(visible)}" "${PRECISION=--fp16}" "${TRAIN_DEPTHS:=}"
[[ $TRAIN_DEPTHS != *[[:space:]]* ]] || die "TRAIN_DEPTHS must have no spaces, but is '$TRAIN_DEPTHS'."
DEPTHS_OPTION=${TRAIN_DEPTHS:+--layerdrop-depths $TRAIN_DEPTHS}
: "${RATE:=$([ -n "$DEPTHS_OPTION" ] && echo 0 || echo 0.2)}" # the paper's; with depths there is no need of one
[[ $RATE != *[[:space:]]* ]] || die "RATE must have no spaces, but is '$RATE'."
case $GPUS in *[!0-9]*) die "GPUS must be a whole number, but is '$GPUS'." ;; esac
OUT=$(absolute "$OUT") RAW=$(absolute "$RAW")
workers=$((GPUS > 0 ? GPUS : 1))
DEVICES="--distributed-world-size $workers $PRECISION" DEVICE=$PRECISION # to train, and to evaluate with one
[ "$GPUS" -gt 0 ] || { DEVICES=--cpu DEVICE=--cpu && source "$root/scripts/openmp.sh"; }

update_freq() { # PRODUCT: sets UPDATE_FREQ, batches that each worker adds up, so that the paper's effective batch stays
  [ -z "$TINY" ] || : "${UPDATE_FREQ:=1}"
  [ -n "${UPDATE_FREQ:-}" ] || [ $(($1 % workers)) -eq 0 ] ||
    die "GPUS must divide $1, the paper's batches per update, but is $GPUS."
  : "${UPDATE_FREQ:=$(($1 / workers))}"
}

quoted() { # WORDS...: as one would type them
  local word quote="'\\''"
  for word; do
    if [[ $word =~ ^[A-Za-z0-9_./:=,+@%-]+$ ]]; then
      printf '%s ' "$word"
    elif [[ $word == *\'* && ! $word =~ [\"\$\`\\] ]]; then
      printf '"%s" ' "$word"
    else
      printf "'%s' " "${word//\'/$quote}"
    fi
  done
}

run() { # COMMAND...
  run_as "$(quoted "$@")" "$@"
}

run_as() { # TEXT COMMAND...: shows a function of ours as the command that does the same
  echo "$1"
  [ -n "$DRY_RUN" ] || "${@:2}"
}

run_to() { # FILE COMMAND...: the file gets what the command prints, when that is whole
  local file=$1
  shift
  run mkdir -p "$(dirname "$file")"
  echo "$(quoted "$@")>$(quoted "$file")2>&1"
  [ -z "$DRY_RUN" ] || return 0
  "$@" >"$file.new" 2>&1 || { tail -n 20 "$file.new"; return 1; }
  mv "$file.new" "$file"
}

fetch() { # URL SHA256|- FILE: takes $RAW or what is there; goes on with a broken download; checks what came
  local url=$1 sum=$2 file=$3
  if [ -n "$RAW" ]; then
    local copy=$RAW
    [ -f "$RAW" ] || copy=$RAW/$(basename "$file")
    [ -n "$DRY_RUN" ] || [ -e "$copy" ] || die "RAW must hold $(basename "$file"), but $copy does not exist."
    run ln -sfn "$copy" "$file"
  elif [ -n "$DRY_RUN" ] || [ ! -e "$file" ]; then
    run curl --fail --location --retry 5 --continue-at - --output "$file.part" "$url"
    [ "$sum" = - ] || run_as "echo '$sum ' $(quoted "$file.part")| sha256sum --check" check_sum "$sum" "$file.part"
    run mv "$file.part" "$file"
  fi
}

check_sum() { # SHA256 FILE
  local found
  found=$(sha256sum "$2" | cut -d' ' -f1)
  [ "$found" = "$1" ] || { rm "$2"; die "$(basename "$2") must have the SHA-256 sum $1, but has $found; it was removed."; }
}

overrides() { # KEPT: for --model-overrides; `full`, or a specification for all $STACKS, or ENCODER+DECODER
  local parts=() stack kept=$1
  if [ "$kept" != full ]; then
    for stack in $STACKS; do
      parts+=("'${stack}_layers_to_keep': '${kept%%+*}'")
      kept=${kept#*+}
    done
  fi
  (IFS=,; echo "{${parts[*]}}")
}

check_settings() { # KEEP, RATE and TRAIN_DEPTHS by the package's own rules; they would else fail after the training
  local python message status=0 model=(--stack="$STACKS" --layers="${LAYERS:-}")
  [ "$STACKS" != "encoder decoder" ] ||
    model=(--stack=encoder --layers="${ENCODER_LAYERS:-}" --stack=decoder --layers="${DECODER_LAYERS:-}")
  [ -z "${PRETRAINED:-}${TEACHER:-}" ] || model+=(--learned)
  for python in "$root/.venv/bin/python" python3 python; do ! command -v "$python" >/dev/null || break; done
  message=$("$python" "$root/scripts/recipes/settings.py" "${model[@]}" --keep="${KEEP:-}" --rate="$RATE" \
    --train-depths="$TRAIN_DEPTHS" 2>/dev/null) || status=$?
  [ "$status" -ne 2 ] || die "$message" # another status: this Python is too old, or there is none yet
}

stages() { # NAMES...
  check_settings
  [ -z "$STAGE" ] || case " $* " in *" $STAGE "*) ;; *) die "STAGE must be one of: $*; but is '$STAGE'." ;; esac
  cd "$root"
  [ -z "$DRY_RUN" ] || echo "cd $(quoted "$root")&& export PATH=\"\$PWD/.venv/bin:\$PATH\""
  if [ -z "$DRY_RUN" ]; then
    mkdir -p "$OUT/done" "$OUT/log"
    ! command -v flock >/dev/null || { exec 9>"$OUT/lock" && flock --nonblock 9 || die "another run is using $OUT."; }
    [ "$SETUP" = 0 ] || bash scripts/setup.sh || die "scripts/setup.sh failed."
  fi
  [ "$SETUP" = 0 ] || PATH=$root/.venv/bin:$PATH
  export PATH PYTHONWARNINGS=ignore
  local stage names=("$@")
  for stage; do
    names=("${names[@]:1}")
    if [ -z "$STAGE" ] || [ "$STAGE" = "$stage" ]; then one_stage "$stage" "${names[@]}"; fi
  done
  [ -n "$DRY_RUN" ] || [ "${STAGE:-score}" != score ] || cat "$OUT/scores.txt"
}

data_sums() { # of what training reads: dictionaries, and the lengths of all sentences
  find "$OUT/bin" "$OUT/bin/text" -maxdepth 1 \( -name 'dict*' -o -name '*.idx' \) -exec cksum {} + 2>/dev/null | sort || true
}

one_stage() { # NAME LATER...: a stage that was done anew makes the later ones stale; training looks at its data itself
  local stage=$1 marker=$OUT/done/$1 log=$OUT/log/$1.txt begun=$OUT/log/train.begun commands status=0
  shift
  commands=$(DRY_RUN=1 && "$stage") || exit 2
  if [ -n "$DRY_RUN" ]; then
    printf '# %s\n%s\n' "$stage" "$commands"
    return
  fi
  [ "$stage" != train ] || commands=$(echo "$commands" && data_sums)
  if [ -e "$marker" ] && [ "$(cat "$marker")" = "$commands" ]; then
    say "$stage: there already"
  elif [ "$stage" = train ] && [ -e "$OUT/train" ] && [ -e "$begun" ] && [ "$(cat "$begun")" != "$commands" ]; then
    die "'train' was begun with other settings or data; choose another OUT, or remove $OUT/train to train anew."
  else
    say "$stage (log/$stage.txt)"
    [ "$stage" != train ] || echo "$commands" >"$begun"
    set +e
    (set -e; "$stage") 2>&1 | tee -a "$log" >&2
    status=${PIPESTATUS[0]}
    set -e
    [ "$status" -eq 0 ] || { say "stage '$stage' failed; its log is $log; what the others made stays"; exit 1; }
    echo "$commands" >"$marker"
    for stage; do [ "$stage" = train ] || rm -f "$OUT/done/$stage"; done
  fi
}
