#!/usr/bin/env bash
# Measures a training step of several workers (DistributedDataParallel, gloo, a thread each) when all drop the same
# layers, as this package does, and when each drops its own: then all wait for the worker that kept the most.
#   bash scripts/benchmarks/workers.sh              prints a table in Markdown; progress on standard error
#   TINY=1 bash scripts/benchmarks/workers.sh       tries it out in seconds; its numbers mean nothing
# Give the processes a core each and nothing else to do. The lines below are settings: RATES="0.5" bash ...
set -euo pipefail
command=$(for v in TINY PROCESSES SIMULATED RATES LAYERS WIDTH TOKENS ROUNDS STEPS; do
  [ -z "${!v+x}" ] || echo -n "$v='${!v}' "; done)"bash scripts/benchmarks/workers.sh"
source "$(dirname "$0")/../help.sh"
[ -z "${TINY-}" ] || : "${WIDTH:=16}" "${TOKENS:=16}" "${ROUNDS:=2}" "${STEPS:=3}"
: "${PROCESSES:=2 4}" "${SIMULATED:=8 64 512}" "${RATES:=0.2 0.5}" # workers measured, workers worked out, p
: "${LAYERS:=16}" "${WIDTH:=128}" "${TOKENS:=512}"                 # the model, and what a worker reads in a step
: "${ROUNDS:=10}" "${STEPS:=10}"                                   # steps of either kind, turn and turn about
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
[ "${SETUP:-1}" = 0 ] || { bash scripts/setup.sh; PATH=$root/.venv/bin:$PATH; } # 0: the active environment
OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore python scripts/benchmarks/workers.py --command "$command" \
  --processes $PROCESSES --simulated $SIMULATED --rates $RATES --layers "$LAYERS" --width "$WIDTH" \
  --tokens "$TOKENS" --rounds "$ROUNDS" --steps "$STEPS"
