"""Speech models as one trains them: pretraining, fine-tuning, restarts, two workers, YAML, on made-up tones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from shared.sounds import features, pretrained, speech_arguments, tones  # noqa: F401  fixtures
from shared.trainings import USER, assert_same_training, listening, state_of

from layerdrop_plugin.cli import prune, search, sweep
from layerdrop_plugin.dropping import dropped_groups

pytestmark = pytest.mark.slow
WORKERS = Path(__file__).with_name("note_workers")

BOTH = ["--encoder-layerdrop", 0.3, "--decoder-layerdrop", 0.3]
RATES = {
    "wav2vec2": ["--encoder-layerdrop", 0.3],
    "hubert": ["--encoder-layerdrop", 0.3],
    "wav2vec_ctc": ["--layerdrop", "linear:0:0.6"],
    "hubert_ctc": ["--layerdrop", 0.3],
    "s2t_transformer": BOTH,
    "s2t_conformer": BOTH,
    "convtransformer": BOTH,
}
PRETRAINED = {"wav2vec_ctc": "wav2vec2", "hubert_ctc": "hubert"}


@pytest.fixture(scope="session")
def sound():
    return pytest.importorskip("soundfile", reason="needs the extra speech")


@pytest.fixture
def arguments(request, speech_arguments, pretrained):
    """A function that gives the arguments of a training with LayerDrop."""

    def make(model, *options):
        if "--decoder-layerdrop" not in RATES[model]:
            request.getfixturevalue("sound")
        source = ["--w2v-path", pretrained(PRETRAINED[model])] if model in PRETRAINED else []
        return speech_arguments(model, *RATES[model], *map(str, source), *options)

    return make


def shares(log, name="layerdrop_enc"):
    return [float(json.loads(entry)[name]) for entry in re.findall(r"\| train_inner \| (.*)", log)]


@pytest.mark.parametrize("model", RATES)
def test_a_run_that_is_started_again_goes_on_as_it_would_have(model, arguments, train, tmp_path):
    """What wav2vec 2.0 and HuBERT mask of the sound, numpy draws, whose state fairseq does not save."""
    once, twice, logs = tmp_path / "once", tmp_path / "twice", []
    for updates, folder in ((4, once), (2, twice), (4, twice)):
        argv = arguments(model, "--max-update", updates, "--save-dir", folder)
        with listening() as lines:
            train(*argv)
        logs.append(shares("\n".join(lines).replace("INFO | train_inner", "train_inner")))
    assert logs[0] == logs[1] + logs[2]
    assert len(set(logs[0])) > 1
    if model not in PRETRAINED.values():
        assert_same_training(once, twice)


@pytest.mark.parametrize("model", PRETRAINED)
def test_a_pretrained_model_is_pruned_as_it_is_fine_tuned(model, arguments, train, load_model, tmp_path):
    """The layers that are kept begin with their weights; their own checkpoint needs no other."""
    argv = arguments(model, "--encoder-layers-to-keep", "0,3", "--save-dir", tmp_path)
    train(*argv, "--max-update", 1, "--lr", 0)
    weights = torch.load(argv[argv.index("--w2v-path") + 1])["model"]
    saved = state_of(tmp_path)["model"]
    prefix = "w2v_encoder.w2v_model."
    for new, old in enumerate((0, 3)):
        name = "encoder.layers.{}.fc1.weight"
        assert torch.equal(saved[prefix + name.format(new)], weights[name.format(old)])
    assert not any(name.startswith(f"{prefix}encoder.layers.2.") for name in saved)
    train(*argv, "--max-update", 3)  # started again, it is not pruned again
    loaded, cfg = load_model(tmp_path / "checkpoint_last.pt", w2v_path="nowhere.pt")
    stack = loaded.w2v_encoder.w2v_model.encoder.layers
    assert len(stack) == 2
    assert stack.rates == {"wav2vec_ctc": (0.0, 0.6), "hubert_ctc": (0.3, 0.3)}[model]
    assert cfg.w2v_args.model["_name"] == PRETRAINED[model]
    full = ["--restore-file", tmp_path / "checkpoint_last.pt", "--save-dir", tmp_path / "full"]
    with pytest.raises(ValueError) as error:
        train(*arguments(model, *full))
    assert (
        str(error.value) == f"`--w2v-path` must fit the checkpoint, but gives it 4 encoder layers, and {full[1]} has 2."
    )


def test_rates_that_pretraining_has_learned_choose_the_layers(arguments, train, tmp_path):
    learned = ["--encoder-layerdrop-learned", "--max-update", 3, "--save-dir", tmp_path / "pretrained"]
    train(*arguments("wav2vec2", *learned, "--lr", 0.1))
    weights = state_of(tmp_path / "pretrained")["model"]
    rates = [weights[f"encoder.layers.{i}.learned_rate.rate"].item() for i in range(4)]
    kept = sorted(sorted(range(4), key=rates.__getitem__)[:2])
    keep = ["--w2v-path", tmp_path / "pretrained" / "checkpoint_last.pt", "--encoder-layers-to-keep", "learned:2"]
    train(*arguments("wav2vec_ctc", *keep, "--lr", 0, "--max-update", 1, "--save-dir", tmp_path / "tuned"))
    tuned, names = state_of(tmp_path / "tuned")["model"], [f"encoder.layers.{i}.fc2.weight" for i in range(4)]
    for new, old in enumerate(kept):
        assert torch.equal(tuned[f"w2v_encoder.w2v_model.{names[new]}"], weights[names[old]])
    assert not any("learned_rate" in name for name in tuned)


def test_commands_pretrain_and_fine_tune(arguments, command, speech_arguments, sound, tmp_path):
    folder = tmp_path / "pretrained"
    depths = ["--layerdrop-depths", "2", "--layerdrop-validate-depths"]
    argv = arguments("wav2vec2", *depths, "--max-update", 4, "--save-dir", folder)
    log = command("fairseq-train", *argv, *USER).stdout
    assert "depth 2 is trained in 0.6 of the forward passes: encoder layers [0,2]" in log
    assert "valid@2" in log
    tuned = ["--w2v-path", folder / "checkpoint_last.pt", "--layerdrop", 0.5, "--freeze-finetune-updates", 2]
    argv = speech_arguments("wav2vec_ctc", *tuned, "--max-update", 4, "--save-dir", tmp_path / "tuned")
    log = command("fairseq-train", *argv, *USER).stdout
    assert "drop rates of the encoder, layer, from the first layer to the last: 0.5 0.5 0.5 0.5" in log
    masks = [dropped_groups((0.5,) * 4, seed=1, update=i, forward_pass=0, name="encoder") for i in range(4)]
    assert shares(log) == [sum(mask) / 4 for mask in masks]


def test_a_command_trains_speech_to_text_and_another_translates(arguments, command, features, tmp_path):
    argv = arguments("s2t_transformer", "--max-update", 4, "--save-dir", tmp_path)
    log = command("fairseq-train", *argv, *USER).stdout
    for short, stack in (("enc", "encoder"), ("dec", "decoder")):
        masks = [dropped_groups((0.3,) * 4, seed=1, update=i, forward_pass=0, name=stack) for i in range(4)]
        assert shares(log, f"layerdrop_{short}") == [sum(mask) / 4 for mask in masks]
    path = ["--path", tmp_path / "checkpoint_last.pt", "--gen-subset", "valid", "--max-len-b", 9, "--cpu"]
    keep = ["--model-overrides", "{'encoder_layers_to_keep': '0,2', 'decoder_layers_to_keep': '1'}"]
    log = command("fairseq-generate", features, "--task", "speech_to_text", *path, *keep, *USER)
    assert "Translated 4 sentences" in log.stdout + log.stderr


def test_the_best_layers_of_a_recognizer_are_searched_by_its_loss(arguments, train, capsys, tones, tmp_path):
    pytest.importorskip("editdistance", reason="needs the extra speech")
    train(*arguments("wav2vec_ctc", "--max-update", 2, "--save-dir", tmp_path))
    argv = [tones, "--path", tmp_path / "checkpoint_last.pt", "--gen-subset", "valid", "--keep", 2, "--cpu"]
    search.main([str(word) for word in argv])
    out = capsys.readouterr().out
    assert len(re.findall(r"^[1-6] +[0-3],[0-3] ", out, re.MULTILINE)) == 6  # sets of two of four layers
    sweep_argv = [*argv[:-3], "--importance", tmp_path / "layers.png", "--cpu"]
    with pytest.raises(SystemExit):
        sweep.main([str(word) for word in sweep_argv])
    line = "`--importance` must be for models that read words, but checkpoint_last.pt reads sound.\n"
    assert capsys.readouterr().err == f"layerdrop-sweep: error: {line}"


def test_a_recognizer_is_pruned_to_one_of_fairseqs_own(arguments, train, load_model, tmp_path):
    """Whose drop rate is one number: of a model that is not trained on, 0."""
    train(*arguments("wav2vec_ctc", "--max-update", 1, "--save-dir", tmp_path))
    small = tmp_path / "small.pt"
    prune.main([str(tmp_path / "checkpoint_last.pt"), "-o", str(small), "--encoder", "1,2", "--stock"])
    model, cfg = load_model(small)
    layers = model.w2v_encoder.w2v_model.encoder.layers
    assert (type(model).__name__, type(layers).__name__, len(layers)) == ("Wav2VecCtc", "ModuleList", 2)
    assert (cfg["_name"], cfg.layerdrop) == ("wav2vec_ctc", 0.0)


@pytest.mark.parametrize("model", ["wav2vec2", "hubert"])
def test_there_is_no_search_for_what_predicts_no_words(model, pretrained, sound, tones, capsys):
    task = {"wav2vec2": "audio_pretraining", "hubert": "hubert_pretraining"}[model]
    with pytest.raises(SystemExit):
        search.main([str(tones), "--path", str(pretrained(model)), "--gen-subset", "valid", "--keep", "2", "--cpu"])
    assert capsys.readouterr().err.endswith(
        f"`--path` must be a model that predicts words or classes, but this one's task is {task}.\n"
    )


def test_fairseqs_own_fine_tuning_takes_a_model_that_was_trained_with_layerdrop(
    speech_arguments,
    pretrained,
    train,
    load_model,
    sound,
    tmp_path,
):
    """Its rate is then that of our stack in the pretrained model."""
    options = ["--w2v-path", pretrained("wav2vec2"), "--layerdrop", 0.3, "--max-update", 3, "--save-dir", tmp_path]
    train(*speech_arguments("wav2vec_ctc", *options, "--arch", "wav2vec_ctc"))
    model, _ = load_model(tmp_path / "checkpoint_last.pt")
    stack = model.w2v_encoder.w2v_model.encoder.layers
    assert (type(model).__name__, stack.name, stack.rates) == ("Wav2VecCtc", "encoder", (0.3,) * 4)


def test_what_is_fine_tuned_must_have_been_pretrained(arguments, speech_arguments, train, tmp_path):
    train(*arguments("s2t_transformer", "--max-update", 1, "--save-dir", tmp_path))
    path = tmp_path / "checkpoint_last.pt"
    with pytest.raises(ValueError) as error:
        train(*speech_arguments("wav2vec_ctc", "--w2v-path", path, "--save-dir", tmp_path / "tuned"))
    assert str(error.value) == (
        f"`--w2v-path` must be the checkpoint of a pretrained model, such as wav2vec2 or hubert, but {path} is of "
        "layerdrop_s2t_transformer."
    )


@pytest.mark.workers
def test_two_workers_with_the_default_backend(arguments, torchrun, tmp_path):
    two = ["--distributed-backend", "gloo", "--max-tokens", 8000, "--user-dir", WORKERS, "--max-update", 5]
    half = ["--encoder-layerdrop", 0.5, "--decoder-layerdrop", 0.5]
    rates = {"wav2vec2": half[:2], "wav2vec_ctc": ["--layerdrop", 0.5], "s2t_conformer": half}
    jobs = {}
    for model, options in rates.items():
        frozen = ["--freeze-finetune-updates", 3] if model in PRETRAINED else []
        jobs[model] = arguments(model, *options, *two, *frozen, "--save-dir", tmp_path / model)
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    written = torchrun("python", WORKERS / "train_each.py", tmp_path / "jobs.json").stdout
    _, *logs = re.split(r"^= (.*) =$", written, flags=re.MULTILINE)
    assert logs[::2] == list(rates)
    for (model, options), log in zip(rates.items(), logs[1::2]):
        folder = tmp_path / model
        assert "training on 2 devices" in log
        assert "'ddp_backend': 'pytorch_ddp'" in log
        assert (folder / "weights.0").read_text() == (folder / "weights.1").read_text()
        lines = [
            f"{update} 0 {stack} {''.join('-x'[dropped] for dropped in mask)}"
            for update in range(5)
            for stack in (("encoder", "decoder") if options is half else ("encoder",))
            for mask in [dropped_groups((0.5,) * 4, seed=1, update=update, forward_pass=0, name=stack)]
        ]
        for rank in (0, 1):
            assert (folder / f"masks.{rank}").read_text().splitlines() == lines


CONFIG = {
    "common": {"cpu": True, "seed": 1, "log_format": "json", "log_interval": 1},
    "dataset": {"num_workers": 0, "max_tokens": 20000},
    "optimization": {"max_update": 3, "lr": [0.001]},
    "optimizer": {"_name": "adam"},
    "lr_scheduler": {"_name": "fixed"},
    "checkpoint": {"no_epoch_checkpoints": True},
}


@pytest.fixture
def hydra(command, tmp_path):
    """A function that runs fairseq-hydra-train with groups of options, from YAML."""

    def run(status=0, **groups):
        text = yaml.safe_dump({**CONFIG, **groups, "common": {**CONFIG["common"], "user_dir": "layerdrop_plugin"}})
        (tmp_path / "speech.yaml").write_text("# @package _group_\n" + text)
        where = ["--config-dir", tmp_path, "--config-name", "speech", f"checkpoint.save_dir={tmp_path / 'save'}"]
        return command("fairseq-hydra-train", *where, cwd=tmp_path, status=status)

    return run


def test_yaml_pretrains_and_a_name_that_is_no_option_is_refused(hydra, tones, sound, tmp_path):
    sizes = {"encoder_layers": 4, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 24, "encoder_attention_heads": 2}
    conv = {"conv_feature_layers": "[(8,10,5),(8,3,2)]", "conv_pos": 8, "conv_pos_groups": 2, "mask_length": 3}
    model = {"_name": "layerdrop_wav2vec2", **sizes, **conv, "encoder_layerdrop": 0.3, "encoder_layers_to_keep": "0-2"}
    groups = {
        "task": {"_name": "audio_pretraining", "data": str(tones), "max_sample_size": 3000},
        "criterion": {"_name": "wav2vec", "infonce": True},
    }
    hydra(model=model, **groups)
    saved = state_of(tmp_path / "save")["cfg"]["model"]
    held = {"encoder_layers": 3, "encoder_layerdrop": 0.3, "encoder_layers_to_keep": None, "dropout": 0.1}
    assert {name: saved[name] for name in held} == held
    error = hydra(status=2, model={**model, "encoder_headdrop": 0.1}, **groups).stderr.splitlines()[-1]
    assert error == (
        "fairseq-hydra-train: error: `model.encoder_headdrop` must be an option of layerdrop_wav2vec2, but is none."
    )


def test_yaml_fine_tunes(hydra, tones, pretrained, sound, tmp_path):
    model = {"_name": "layerdrop_wav2vec_ctc", "w2v_path": str(pretrained("wav2vec2")), "layerdrop": "0,0.1,0.2,0.3"}
    groups = {
        "task": {"_name": "audio_finetuning", "data": str(tones), "labels": "ltr"},
        "criterion": {"_name": "ctc"},
        "dataset": {**CONFIG["dataset"], "disable_validation": True},
    }
    hydra(model={**model, "encoder_layers_to_keep": [0, 3]}, **groups)
    saved = state_of(tmp_path / "save")["cfg"]["model"]
    assert (saved["layerdrop"], saved["w2v_args"]["model"]["encoder_layers"]) == ("0.0,0.3", 2)
    error = hydra(status=2, model={**model, "w2v_path": "nowhere.pt"}, **groups).stderr.splitlines()[-1]
    assert (
        error
        == "fairseq-hydra-train: error: `--w2v-path` must be the file of a checkpoint, but nowhere.pt does not exist."
    )
