"""scripts/roberta.sh: all stages in miniature, and the settings of the paper."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from shared.recipe_contract import *  # noqa: F403  fixtures and tests
from shared.recipe_contract import Promise

pytestmark = [pytest.mark.recipe, pytest.mark.slow]

TASKS = ["MNLI", "SST-2"]


PROMISED = Promise(
    recipe="roberta",
    settings={"TASKS": " ".join(TASKS)},
    stages=("prepare", "preprocess", "train", "average", "evaluate", "finetune", "score"),
    header="| layers | perplexity | MNLI | SST-2 |",
    depths=("4 of 4", "2 of 4"),
    train=(
        "--arch layerdrop_roberta_base --encoder-layers 12 --max-positions 512 --encoder-layerdrop 0.2 ",
        "--tokens-per-sample 512 --sample-break-mode complete --optimizer adam --adam-betas '(0.9,0.98)' ",
        "--lr-scheduler polynomial_decay",
        "--lr 6e-4 --warmup-updates 24000 --total-num-update 500000 --max-update 500000",
        "--batch-size 16 --update-freq 64 --distributed-world-size 8 ",  # 16 * 64 * 8 = 8192
    ),
)


def load(out, task, kept):
    return torch.load(out / "finetune" / task / kept / "checkpoint_best.pt", weights_only=False)


def layers(state):
    names = map(re.compile(r".*\.layers\.(\d+)\.fc1\.weight").fullmatch, state["model"])
    return [int(found[1]) for found in names if found]


def test_each_depth_has_a_perplexity_and_an_accuracy_on_each_task(first):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in first.stdout.splitlines()[2:4]]
    assert all(1 < float(perplexity) < 200 for _, perplexity, *_ in rows)
    assert all(0 <= float(cell) <= 100 for _, _, *cells in rows for cell in cells)


@pytest.mark.parametrize("task", TASKS)
def test_pruned_first_then_finetuned_without_layerdrop(first, task, out):
    full, pruned = load(out, task, "full"), load(out, task, "every_other:2")
    assert (layers(full), layers(pruned)) == ([0, 1, 2, 3], [0, 1])
    assert (pruned["layerdrop"]["encoder"]["depth"], pruned["layerdrop"]["encoder"]["kept"]) == (4, [0, 2])
    assert [state["cfg"]["model"].encoder_layerdrop for state in (full, pruned)] == [0.2, 0.0]


@pytest.mark.parametrize(("task", "classes"), [("MNLI", 3), ("SST-2", 2)])
def test_each_task_has_its_classes(first, task, classes, out):
    head = load(out, task, "full")["model"]["classification_heads.sentence_classification_head.out_proj.weight"]
    assert head.shape == (classes, 32)


def test_empty_lines_still_part_the_documents(first, out):
    text = (out / "raw" / "wikitext-103-raw" / "wiki.valid.raw").read_text().split("\n")
    pieces = (out / "pieces" / "wiki.valid.raw").read_text().split("\n")
    assert [not line.strip() for line in text] == [not line for line in pieces]
    assert sum(not line for line in pieces) == 6 * 2 + 1  # two in each of six documents; after the last line


def test_a_finetuning_that_is_done_is_left_alone(first, recipe, out):
    os.utime(out / "average.pt")  # the same model, made anew
    before = [path.stat().st_mtime_ns for path in sorted(out.glob("finetune/*/*/checkpoint_best.pt"))]
    (out / "done" / "finetune").unlink()
    again = recipe("roberta", out, TASKS=" ".join(TASKS), STAGE="finetune").stderr
    assert re.findall(r"finetune/(\S+): there already", again) == [
        *("MNLI/full", "MNLI/every_other:2", "SST-2/full", "SST-2/every_other:2")
    ]
    assert [path.stat().st_mtime_ns for path in sorted(out.glob("finetune/*/*/checkpoint_best.pt"))] == before


def test_a_finetuning_with_other_settings_is_refused(first, recipe, out):
    refused = recipe("roberta", out, status=1, TASKS=" ".join(TASKS), STAGE="finetune", SEED="2").stderr
    assert "MNLI/full was begun with other settings or another model; choose another OUT, or remove it." in refused


def test_a_finetuning_of_another_model_is_refused(first, recipe, out):
    model = out / "average.pt"
    content = model.read_bytes()
    (out / "done" / "finetune").unlink()
    model.write_bytes(content + b" ")
    refused = recipe("roberta", out, status=1, TASKS=" ".join(TASKS), STAGE="finetune").stderr
    model.write_bytes(content)
    assert "MNLI/full was begun with other settings or another model; choose another OUT, or remove it." in refused


def test_another_task_leaves_the_data_of_the_others(first, recipe, out):
    for stage in ("prepare", "preprocess"):
        recipe("roberta", out, TASKS="MRPC", STAGE=stage, PRETRAINED=str(out / "average.pt"))
    assert sorted(path.name for path in (out / "bin").iterdir()) == ["MNLI", "MRPC", "SST-2", "text"]
    assert (out / "bin" / "MRPC" / "input1" / "train.idx").exists()


def test_a_wrong_dictionary_is_fetched_anew(first, recipe, out, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in (out / "raw" / "made").iterdir():
        (raw / path.name).symlink_to(path)
    settings = {"TINY": "", "RAW": str(raw), "STAGE": "prepare", "TASKS": "MRPC"}
    failed = recipe("roberta", tmp_path / "o", status=1, **settings).stderr
    assert f"roberta: {tmp_path}/o/raw/dict.txt must have 50260 lines, but has 96; it was removed.\n" in failed
    assert not (tmp_path / "o" / "raw" / "dict.txt").is_symlink()
    assert (raw / "dict.txt").exists()


@pytest.fixture(scope="module")
def commands(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("dry") / "roberta"
    printed = recipe("roberta", out, DRY_RUN="1", TINY="", GPUS="8").stdout
    assert not out.exists()
    return printed.splitlines()


def test_large_has_another_rate_and_warm_up(recipe, tmp_path):
    printed = recipe(
        "roberta", tmp_path / "o", DRY_RUN="1", TINY="", GPUS="1", SIZE="large", LAYERS="48", RATE="0.5", STAGE="train"
    ).stdout
    assert "--arch layerdrop_roberta_large --encoder-layers 48 --max-positions 512 --encoder-layerdrop 0.5 " in printed
    assert "--lr 4e-4 --warmup-updates 30000 " in printed
    assert "--batch-size 16 --update-freq 512 --distributed-world-size 1 " in printed


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("MNLI", "--num-classes 3 --batch-size 32 --total-num-update 123873 --warmup-updates 7432"),
        ("MRPC", "--num-classes 2 --batch-size 16 --total-num-update 2296 --warmup-updates 137"),
        ("QNLI", "--num-classes 2 --batch-size 32 --total-num-update 33112 --warmup-updates 1986"),
        ("SST-2", "--num-classes 2 --batch-size 32 --total-num-update 20935 --warmup-updates 1256"),
    ],
)
def test_the_papers_finetuning(task, settings, commands):
    lines = [line for line in commands if line.startswith("fairseq-train") and f"/bin/{task} " in line]
    assert [re.search("--encoder-layerdrop .*? --finetune", line)[0] for line in lines] == [
        "--encoder-layerdrop 0.2 --finetune",
        "--encoder-layerdrop 0 --encoder-layers-to-keep every_other:6 --finetune",
        "--encoder-layerdrop 0 --encoder-layers-to-keep every_other:3 --finetune",
    ]
    for line in lines:
        words = line.split()
        for option, value in zip(settings.split()[::2], settings.split()[1::2]):
            assert words[words.index(option) + 1] == value
        assert " --weight-decay 0.1 --lr 1e-5 " in line
        assert " --init-token 0 --separator-token 2 --shorten-method truncate " in line


def test_only_the_text_is_made_anew(commands):
    (line,) = (line for line in commands if line.startswith("rm "))
    assert line.endswith("/roberta/bin/text ")


def test_a_model_that_one_has_is_not_pretrained(recipe, tmp_path):
    model = tmp_path / "m.pt"
    model.touch()
    relative = os.path.relpath(model)
    printed = recipe("roberta", tmp_path / "o", DRY_RUN="1", TINY="", PRETRAINED=relative).stdout
    assert re.findall("^# (.*)", printed, re.MULTILINE) == ["prepare", "preprocess", "finetune", "score"]
    assert f"--finetune-from-model {Path.cwd()}/{relative} " in printed
    assert "wikitext" not in printed


def test_text_of_ones_own_takes_the_place_of_wikitext(recipe, tmp_path):
    for split in ("train", "valid"):
        (tmp_path / f"{split}.txt").touch()
    relative = os.path.relpath(tmp_path)
    text = Path.cwd() / relative
    printed = recipe("roberta", tmp_path / "o", DRY_RUN="1", TINY="", TEXT=relative).stdout
    assert f"gpt2_bpe.py {text}/train.txt {text}/valid.txt " in printed
    assert "wikitext" not in printed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TASKS": "MNLI RTE"}, "roberta: TASKS must be of MNLI MRPC QNLI SST-2, but is 'MNLI RTE'.\n"),
        ({"SIZE": "huge"}, "roberta: SIZE must be base or large, but is 'huge'.\n"),
        ({"TEXT": "/no"}, "roberta: TEXT must be a folder with train.txt and valid.txt, but is '/no'.\n"),
        ({"TRAIN_DEPTHS": "3, 2"}, "roberta: TRAIN_DEPTHS must have no spaces, but is '3, 2'.\n"),
        (
            {"PRETRAINED": __file__, "TRAIN_DEPTHS": "2"},
            "roberta: TRAIN_DEPTHS must be left out with PRETRAINED, which is trained.\n",
        ),
        ({"PRETRAINED": "/no.pt"}, "roberta: PRETRAINED must be a checkpoint's file, but is '/no.pt'.\n"),
        (
            {"RAW": __file__},
            f"roberta: RAW must be a folder with the files that are fetched else, but is '{__file__}'.\n",
        ),
        ({"GPUS": "7", "TINY": ""}, "roberta: GPUS must divide 512, the paper's batches per update, but is 7.\n"),
    ],
)
def test_wrong_settings(settings, message, recipe, tmp_path):
    assert recipe("roberta", tmp_path / "o", status=2, DRY_RUN="1", **settings).stderr == message


def test_raw_without_the_files(recipe, tmp_path):
    refused = recipe("roberta", tmp_path / "o", status=1, TINY="", RAW=str(tmp_path), STAGE="prepare").stderr
    assert f"roberta: RAW must hold encoder.json, but {tmp_path}/encoder.json does not exist.\n" in refused
