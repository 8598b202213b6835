# Sourced by scripts/benchmarks/structured_dropout.sh: its settings, checked.
[ "$0" != "${BASH_SOURCE[0]}" ] || { sed -n '1,${/^#/!q;s/^# \{0,1\}//p}' "$0"; exit; } # it is sourced, not run

NAME=structured_dropout PRECISION='' settings='' HERE=scripts/benchmarks
for v in TINY DATA OUT STAGES MODELS P SEED THREADS LAYERS DEPTHS UPDATES WARMUP TOKENS SIZE LEARNED_LAYERS \
  LEARNED_UPDATES PIECES ROUNDS STEPS; do [ -z "${!v+x}" ] || settings+="$v='${!v}' "; done
source "$(dirname "$0")/../recipes/stages.sh" # its variables and functions; but a stage here looks itself what is done
: "${STAGES:=prepare train evaluate speed report}" "${P:=0.2}" "${SEED:=1}" "${THREADS:=1}" "${DATA:=}"
: "${MODELS:=none heads ffn sublayers layers heads+layers heads+sublayers layers-0.1 layers-0.5 learned depths \
  $(sized 'own-6 own-3' own-1)}"
: "${LAYERS:=$(sized 12 2)}" "${DEPTHS:=$(sized 9,6,4,3 1)}" "${UPDATES:=$(sized 2000 6)}"
: "${LEARNED_LAYERS:=$(sized 16 4)}" "${LEARNED_UPDATES:=$(sized 4000 6)}" "${WARMUP:=$(sized 300 2)}"
: "${TOKENS:=$(sized 1024 256)}" # of a batch
: "${PIECES:=$(sized 2000 60)}" "${ROUNDS:=$(sized 15 2)}" "${STEPS:=$(sized 4 1)}" # updates of each model in a round
: "${SIZE:=--decoder-embed-dim $(sized 64 16) --decoder-ffn-embed-dim $(sized 128 32) --decoder-attention-heads 4}"
DATA=$(absolute "$DATA") HALF=$((LAYERS / 2)) KEEP=$((LEARNED_LAYERS / 2))
BATCHES="--max-tokens $TOKENS --tokens-per-sample 128 --num-workers 0 $DEVICE"
TRAINING="$SIZE --dropout 0.1 --attention-dropout 0.1 --share-decoder-input-output-embed --optimizer adam
  --adam-betas (0.9,0.98) --lr 2e-3 --lr-scheduler polynomial_decay --warmup-updates $WARMUP --clip-norm 1
  --seed $SEED --distributed-world-size 1 $BATCHES"
ABOUT="$LAYERS layers, $UPDATES updates (learned: $LEARNED_LAYERS and $LEARNED_UPDATES), \`$(echo $TRAINING)\`"

[ -z "$DRY_RUN" ] || die "DRY_RUN is for recipes."
for stage in $STAGES; do
  [[ $stage =~ ^(prepare|train|evaluate|speed|report)$ ]] ||
    die "STAGES must be some of: prepare train evaluate speed report; but one is '$stage'."
done
[ -n "$DATA$TINY" ] || [ -e "$OUT/bin/test.idx" ] || die "DATA must be a folder with train.txt, valid.txt and test.txt."
for split in ${DATA:+train valid test}; do
  [ -r "$DATA/$split.txt" ] ||
    die "DATA must be a folder with train.txt, valid.txt and test.txt, but $DATA has no $split.txt."
done
cd "$root"
[ "$SETUP" = 0 ] || { bash scripts/setup.sh; PATH=$root/.venv/bin:$PATH; }
export PATH PYTHONWARNINGS=ignore OMP_NUM_THREADS=$THREADS

benchmark() { # JOB OPTIONS...
  python $HERE/structured_dropout.py "$1" "$OUT" --models $MODELS --rate "$P" --layers "$LAYERS" --depths "$DEPTHS" \
    --half "$HALF" "${@:2}"
}
lines=$(benchmark options) # of each model; says now what is no name of one
