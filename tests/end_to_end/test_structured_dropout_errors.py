"""Rates and layers to keep that are refused before data is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared.grammar import RATES
from shared.trainings import KEEP, USER, arguments, refused  # noqa: F401  fixtures

NONE_LEARNED = "must not be 'learned:2' where no drop rates were learned (with --*-layerdrop-learned)."


@pytest.mark.parametrize("start", [["--restore-file"], ["--finetune-from-model"], []], ids=str)
def test_training_without_learned_rates_to_go_by_is_refused(start, arguments, full, tmp_path, monkeypatch, capfd):
    options = [*start, full["transformer_lm"]] if start else []
    argv = arguments("transformer_lm", *USER, *options, *KEEP, "--max-update", 14, "--save-dir", tmp_path)
    assert refused(argv, monkeypatch, capfd) == f"`decoder_layers_to_keep` {NONE_LEARNED}"


def test_other_commands_refuse_a_checkpoint_without_learned_rates(full, data, error_of, load_model, capsys, tmp_path):
    from fairseq.models.transformer_lm import TransformerLanguageModel

    from layerdrop_plugin.cli import prune, search, sweep
    from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError

    path, out, override = str(full["transformer_lm"]), str(tmp_path / "out"), {"decoder_layers_to_keep": "learned:2"}
    model = [str(data["transformer_lm"]), "--path", path, "--cpu"]
    said = f"`--decoder` {NONE_LEARNED}"
    assert error_of(prune.main, path, "-o", out, "--decoder", "learned:2") == said
    said = f"`decoder_layers_to_keep` {NONE_LEARNED}"
    assert error_of(search.main, *model, "--keep", "1", "--model-overrides", str(override)) == said
    assert error_of(sweep.main, *model, "--depths", "2", "--strategies", "learned") == (
        "`--strategies` must not have 'learned' for checkpoint_last.pt, "
        "whose decoder has no learned drop rates (--decoder-layerdrop-learned)."
    )
    with pytest.raises(UserError) as error:
        load_model(path, **override)
    assert str(error.value) == said
    with pytest.raises(UserError) as error:
        TransformerLanguageModel.from_pretrained(
            str(Path(path).parent), Path(path).name, str(data["transformer_lm"]), **override
        )
    assert str(error.value) == said


def test_export_refuses_a_checkpoint_without_learned_rates(full, error_of, tmp_path):
    pytest.importorskip("ctranslate2")
    from layerdrop_plugin.cli import export

    argv = [str(full["transformer_lm"]), str(tmp_path / "out"), "--to", "ctranslate2", "--decoder", "learned:2"]
    assert error_of(export.main, *argv) == f"`--decoder` {NONE_LEARNED}"


def wrong(option, value, rule):
    return [f"{option}={value}"], f"`{option}`{rule}"


WRONG = [
    ("transformer", *wrong("--encoder-layerdrop", "x", f" must be {RATES}, but is 'x' instead.")),
    ("transformer", *wrong("--decoder-layerdrop", "linear:0.1", f" must be {RATES}, but is 'linear:0.1' instead.")),
    ("transformer", *wrong("--encoder-headdrop", "linear:0:1", " must be at least 0 and below 1, but is 1 instead.")),
    (
        "transformer",
        *wrong("--decoder-headdrop", "target:3", " must not aim for more than there are, but 'target:3' keeps 3 of 2."),
    ),
    ("roberta", *wrong("--encoder-ffndrop", "", f" must be {RATES}, but is '' instead.")),
    (
        "transformer_lm",
        *wrong("--decoder-ffndrop", "0.1,0.2", " must have a rate for each of 4 layers, but has 2 in '0.1,0.2'."),
    ),
    ("transformer", *wrong("--encoder-sublayerdrop", "1.0", " must be at least 0 and below 1, but is 1.0 instead.")),
    (
        "transformer_lm",
        *wrong(
            *("--decoder-sublayerdrop", "target:0"),
            ": the K of 'target:K' must be a whole number of at least 1, but is '0' in 'target:0'.",
        ),
    ),
    (
        "transformer",
        *wrong("--decoder-layerdrop", "0,0,0,0,0", " must have a rate for each of 4 layers, but has 5 in '0,0,0,0,0'."),
    ),
    (
        "roberta",
        *wrong("--layerdrop-warmup-updates", "-1", " must be a whole number of at least 0, but is '-1' instead."),
    ),
    (
        "roberta",
        *wrong("--layerdrop-cooldown-updates", "1.5", " must be a whole number of at least 0, but is '1.5' instead."),
    ),
    (
        "transformer_lm",
        ["--layerdrop-cooldown-updates=5"],
        "`--layerdrop-cooldown-updates` must be left out where `--max-update` is not set, but is 5 instead.",
    ),
    (
        "transformer_lm",
        ["--layerdrop-warmup-updates=6", "--layerdrop-cooldown-updates=5", "--max-update=10"],
        "`--layerdrop-warmup-updates` and `--layerdrop-cooldown-updates` must fit into `--max-update`, "
        "but are 6 and 5 of 10.",
    ),
    (
        "transformer",
        ["--decoder-layerdrop-learned", "--decoder-layerdrop=0"],
        "`--decoder-layerdrop-learned` must go with a `--decoder-layerdrop` above 0, the mean of the rates.",
    ),
    (
        "transformer_lm",
        ["--encoder-headdrop=0.1"],
        "`--encoder-headdrop` must be left out: layerdrop_transformer_lm has no encoder (got '0.1').",
    ),
    (
        "roberta",
        ["--decoder-layerdrop-learned"],
        "`--decoder-layerdrop-learned` must be left out: layerdrop_roberta has no decoder (got True).",
    ),
    (
        "transformer",
        ["--decoder-layers-to-keep=learned:0"],
        "`--decoder-layers-to-keep`: the K of 'learned:K' must be a whole number of at least 1, "
        "but is '0' in 'learned:0'.",
    ),
]


@pytest.mark.parametrize(("family", "options", "message"), WRONG, ids=[" ".join(options) for _, options, _ in WRONG])
def test_what_is_wrong_is_one_line_before_data_is_read(
    family, options, message, arguments, monkeypatch, capfd, tmp_path
):
    argv = arguments(family, *USER, "--save-dir", tmp_path, *options)
    assert refused(argv, monkeypatch, capfd) == message


YAML = """# @package _group_
common: {{cpu: true}}
checkpoint: {{save_dir: {save}}}
task: {{_name: language_modeling, data: {data}, tokens_per_sample: 32}}
dataset: {{max_tokens: 300}}
optimization: {{max_update: 2, lr: [0.01]}}
optimizer: {{_name: adam}}
lr_scheduler: {{_name: fixed}}
criterion: {{_name: cross_entropy}}
model: {{_name: layerdrop_transformer_lm, decoder_layers: 4, decoder_embed_dim: 16, decoder_attention_heads: 2, {more}}}
"""


def test_yaml_is_refused_in_one_line_too(data, command, tmp_path):
    text = YAML.format(save=tmp_path, data=data["transformer_lm"], more="decoder_headdrop: [0.1, 0.2, 0.3]")
    (tmp_path / "wrong.yaml").write_text(text.replace("cpu: true", "cpu: true, user_dir: layerdrop_plugin"))
    argv = ["--config-dir", tmp_path, "--config-name", "wrong"]
    process = command("fairseq-hydra-train", *argv, cwd=tmp_path, status=2)
    assert process.stderr.splitlines()[-1] == (
        "fairseq-hydra-train: error: "
        "`--decoder-headdrop` must have a rate for each of 4 layers, but has 3 in '0.1,0.2,0.3'."
    )
    assert "Traceback" not in process.stdout + process.stderr
