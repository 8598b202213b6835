#!/usr/bin/env bash
# Summaries, CNN/DailyMail (paper, section 4.3): a base transformer with LayerDrop, 6+6 layers, also pruned.
#   bash scripts/cnn_dm.sh                           all stages: prepare preprocess train average evaluate score
#   STAGE=train bash scripts/cnn_dm.sh               one of them
#   DRY_RUN=1 bash scripts/cnn_dm.sh                 prints every command
#   TINY=1 bash scripts/cnn_dm.sh                    all stages in about a minute, on text made here
#   RAW=~/stories ...                                takes files that you have; else they are fetched (585 MB)
#   DECODER_LAYERS=8 ...                             the paper's deeper model, 6+8
#   MIN_LENGTH=50 MAX_LENGTH=60 ...                  other lengths of a summary in pieces; the paper's are 40 to 60
# Data: cnn_stories.tgz, dailymail_stories.tgz, and the lists of See et al., all_{train,val,test}.txt, by which they are
# split: 287,113, 13,368 and 11,490 stories, not anonymized. Articles are cut after 400 tokens; 32K joint pieces.
# The paper says Adam, cosine, 10,000 updates of warm-up. What it leaves open: the rest of the schedule and the average
# of ten checkpoints are WMT's here, dropout is fairseq's default, the beam ELI5's; case stays.
# Published ROUGE-1/2/L: 40.5/17.9/37.1 with 6+6 layers (without LayerDrop 40.1/17.6/36.8), 41.1/18.1/37.5 with 6+8.
# Up to a day on 8 GPUs.
# Variables of every recipe (OUT, GPUS, UPDATE_FREQ, PRECISION, SETUP): scripts/recipes/stages.sh.
set -euo pipefail
source "$(dirname "$0")/help.sh"
NAME=cnn_dm
source "$(dirname "$0")/recipes/stages.sh"
source "$(dirname "$0")/recipes/generation.sh"
: "${DROPOUT:=0.1}" "${LR:=0.001}" "${BEAM:=5}" "${MIN_LENGTH:=$(sized 40 4)}" "${MAX_LENGTH:=$(sized 60 12)}"
: "${UPDATES:=$(sized 30000 24)}" "${WARMUP:=$(sized 10000 5)}" "${TOKENS:=$(sized 3584 6000)}"
: "${PIECES:=$(sized 32000 90)}"
update_freq "$(sized 128 1)" # 8 GPUs, each with 16 batches, as for WMT
STORIES=https://huggingface.co/datasets/abisee/cnn_dailymail/resolve/11343c3752184397d56efc19a8a7cceb68089318/data
LISTS=https://raw.githubusercontent.com/abisee/cnn-dailymail/master/url_lists
LONG="--truncate-source --max-target-positions 4096" # a few summaries are longer than 1,024 pieces

prepare() {
  [ -z "$RAW" ] || [ -d "$RAW" ] || die "RAW must be a folder with the five files, but is '$RAW'."
  run mkdir -p "$OUT/raw"
  [ -z "$TINY" ] || { run python scripts/recipes/tiny_data.py cnn_dm "$OUT/raw/made"; RAW=$OUT/raw/made; }
  while read -r sum url; do fetch "$url" "$sum" "$OUT/raw/${url##*/}"; done <<EOF
e8fbc0027e54e0a916abd9c969eb35f708ed1467d7ef4e3b17a56739d65cb200 $STORIES/cnn_stories.tgz
ad69010002210b7c406718248ee66e65868b9f6820f163aa966369878d14147e $STORIES/dailymail_stories.tgz
a5cee49f3a6c862c26ce29308236d2a99625ab6c86a43be22d5206b2790d8029 $LISTS/all_train.txt
81887e982b045083409c6ee838aede8ff4b97291605bcfb21bffc456a16991db $LISTS/all_val.txt
c4f5efb5ec2126430a5c156efbd13d0e9c4cb490169e552c38b4a51981a009bd $LISTS/all_test.txt
EOF
  run python scripts/recipes/cnn_dm.py "$OUT/raw" "$OUT/text" --tokens 400
  has_lines "$(sized 287113 400)" "$OUT/text/train.source"
  has_lines "$(sized 13368 40)" "$OUT/text/valid.source"
  has_lines "$(sized 11490 40)" "$OUT/text/test.source"
}
preprocess() { binarize "$PIECES"; }
train() {
  run fairseq-train "$OUT/bin" --task translation --user-dir layerdrop_plugin --arch layerdrop_transformer \
    $LAYERS $(sized "" "$NARROW") --dropout "$DROPOUT" $ADAM $(cosine "$LR" "$WARMUP" "$UPDATES") $LONG \
    --max-tokens "$TOKENS" --update-freq "$UPDATE_FREQ" --seed "$SEED" $DEVICES \
    --save-dir "$OUT/train" --keep-last-epochs "$AVERAGE"
}
average() { average_last; }
evaluate() {
  generate --beam "$BEAM" --min-len "$MIN_LENGTH" --max-len-b "$MAX_LENGTH" --no-repeat-ngram-size 3 $LONG \
    --remove-bpe sentencepiece --batch-size 64
}
score() { run_to "$OUT/scores.txt" python scripts/recipes/rouge.py "$OUT" --references "$OUT/text/test.target"; }
stages prepare preprocess train average evaluate score
