# Sourced by scripts/benchmarks/structured_dropout.sh: how one model is trained. $lines are the models' own options.
[ "$0" != "${BASH_SOURCE[0]}" ] || { sed -n '1,${/^#/!q;s/^# \{0,1\}//p}' "$0"; exit; } # it is sourced, not run

declare -A options
while read -r name words; do options[$name]=$words; done <<<"$lines"

finished() { # NAME: here, or by hand in this place
  local folder=$OUT/train/$1 updates=$UPDATES
  [ "$1" != learned ] || updates=$LEARNED_UPDATES
  [ "$(cat "$folder/done" 2>/dev/null)" = "$updates" ] || { [ -e "$folder/checkpoint_last.pt" ] &&
    layerdrop-describe "$folder/checkpoint_last.pt" | tr -d , | grep "training  *$updates updates" >/dev/null; }
}

one_training() { # NAME
  local folder=$OUT/train/$1 layers=$LAYERS updates=$UPDATES words
  case $1 in
    learned) layers=$LEARNED_LAYERS updates=$LEARNED_UPDATES ;;
    own-*) layers=${1#own-} ;;
  esac
  words="--decoder-layers $layers ${options[$1]} --total-num-update $updates --max-update $updates"
  mkdir -p "$folder"
  exec 9>"$folder/lock"
  ! command -v flock >/dev/null || flock --nonblock 9 || die "another shell trains $1."
  words=$(echo $words $TRAINING)
  [ ! -e "$folder/checkpoint_last.pt" ] || [ "$(cat "$folder/begun" 2>/dev/null || echo "$words")" = "$words" ] ||
    die "$1 was begun with other settings; choose another OUT, or remove $folder to train anew."
  echo "$words" >"$folder/begun"
  say "train $1 ($folder/train.log)"
  run fairseq-train "$OUT/bin" --user-dir layerdrop_plugin --task language_modeling --save-dir "$folder" \
    --arch layerdrop_transformer_lm_gpt $words --no-epoch-checkpoints --disable-validation --log-format json \
    --log-interval 100 >>"$folder/train.log" 2>&1 || { tail -n 20 "$folder/train.log" && exit 1; }
  echo "$updates" >"$folder/done"
}
