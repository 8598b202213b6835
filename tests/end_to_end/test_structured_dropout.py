"""Structured dropout through fairseq's commands: rates by layer and over time, parts of layers, learned rates."""

import contextlib
import json
import logging
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from layerdrop_plugin.dropping import dropped_groups

NOTES = Path(__file__).with_name("note_workers")
USER = ["--user-dir", "layerdrop_plugin"]
JSON = ["--log-format", "json"]
EVERYTHING = [
    *("--encoder-layerdrop", "linear:0:0.6", "--decoder-layerdrop", "0.1,0.5,0.3,0.7"),
    *("--encoder-headdrop", "target:1", "--decoder-headdrop", "linear:0.1:0.4"),
    *("--encoder-ffndrop", "0.2", "--decoder-ffndrop", "linear:0.4:0.1"),
    *("--encoder-sublayerdrop", "0.1", "--decoder-sublayerdrop", "0,0,0,0.3"),
    *("--layerdrop-warmup-updates", "4", "--layerdrop-cooldown-updates", "4", "--max-update", "12"),
]
"""Four layers in each stack, two heads in each attention."""
FACTORS = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
"""Of all rates, by update."""
LEARNED_LM = [
    *("--decoder-layerdrop", "0.4", "--decoder-layerdrop-learned", "--decoder-headdrop", "0.2", "--update-freq", "2"),
    *("--layerdrop-warmup-updates", "2", "--layerdrop-cooldown-updates", "4", "--max-update", "16"),
]
SUBLAYERS = {"encoder": ["self_attn", "ffn"], "decoder": ["self_attn", "encoder_attn", "ffn"]}
PARTS = {
    stack: [*(f"{name}.heads" for name in names[:-1]), "ffn", *(f"{name}.sublayer" for name in names)]
    for stack, names in SUBLAYERS.items()
}


class Log(NamedTuple):
    """What a training says: messages; the data of each update, by the updates done; the data of each epoch."""

    messages: str
    updates: dict
    epochs: list


def log_of(text):
    entries = {
        kind: [json.loads(e) for e in re.findall(rf"\| {kind} \| (\{{.*)", text)] for kind in ("train_inner", "train")
    }
    return Log(text, {int(e["num_updates"]): e for e in entries["train_inner"]}, entries["train"])


def losses(log):
    return {update: (entry["loss"], entry["gnorm"]) for update, entry in log.updates.items()}


@contextlib.contextmanager
def listening():
    """Yield lines as fairseq's commands print them, of what is logged in this context."""
    lines, root, handler = [], logging.getLogger(), logging.Handler()
    handler.emit = lambda record: lines.append(f"| {record.levelname} | {record.name} | {record.getMessage()}")
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def words(tiny, data):
    """A function that gives fairseq-train's words for a family."""

    def make(family, *options):
        return list(map(str, [data[family], "--arch", f"layerdrop_{family}", *tiny[family], *JSON, *options]))

    return make


@pytest.fixture(scope="session")
def run(train, words):
    """A function that trains in this process, and returns what it logs."""

    def run(family, *options):
        with listening() as lines:
            train(*words(family, *options))
        text = "\n".join(lines)
        return log_of(re.sub(r"\| INFO \| (train_inner|train) \|", r"| \1 |", text))

    return run


def state_of(folder):
    return torch.load(folder / "checkpoint_last.pt")


def same(value, other):
    """Whether two parts of checkpoints are the same, to any depth; fairseq never sets `_float_tensor`."""
    if isinstance(value, torch.Tensor):
        return torch.equal(value, other)
    if isinstance(value, dict):
        return list(value) == list(other) and all(
            same(value[k], other[k]) for k in value if not str(k).endswith("_float_tensor")
        )
    return value == other


def assert_same_training(folder, other):
    ours, theirs = state_of(folder), state_of(other)
    for part in ("model", "last_optimizer_state"):
        assert same(ours[part], theirs[part]), part


# Everything at once, in a translation model.


@pytest.fixture(scope="module")
def everything(words, command, tmp_path_factory):
    """The log and the folder of a training by the real command that nobody interrupts."""
    folder = tmp_path_factory.mktemp("everything")
    process = command("fairseq-train", *words("transformer", *USER, *EVERYTHING, "--save-dir", folder))
    assert "WARNING | layerdrop_plugin" not in process.stdout + process.stderr
    return log_of(process.stdout), folder


def test_the_rates_of_each_layer_and_its_parts_are_logged_once(everything):
    found = re.findall(
        r"drop rates of the (\w+), (\S+), from the first layer to the last: (.*)", everything[0].messages
    )
    assert found == [
        ("encoder", "layer", "0 0.2 0.4 0.6"),
        ("encoder", "self_attn.heads", "0.5 0.5 0.5 0.5"),
        ("encoder", "ffn", "0.2 0.2 0.2 0.2"),
        ("encoder", "self_attn.sublayer", "0.1 0.1 0.1 0.1"),
        ("encoder", "ffn.sublayer", "0.1 0.1 0.1 0.1"),
        ("decoder", "layer", "0.1 0.5 0.3 0.7"),
        ("decoder", "self_attn.heads", "0.1 0.2 0.3 0.4"),
        ("decoder", "encoder_attn.heads", "0.1 0.2 0.3 0.4"),
        ("decoder", "ffn", "0.4 0.3 0.2 0.1"),
        ("decoder", "self_attn.sublayer", "0 0 0 0.3"),
        ("decoder", "encoder_attn.sublayer", "0 0 0 0.3"),
        ("decoder", "ffn.sublayer", "0 0 0 0.3"),
    ]


LAYER_RATES = {"encoder": (0, 0.2, 0.4, 0.6), "decoder": (0.1, 0.5, 0.3, 0.7)}
MEAN_RATES = {"encoder": [0, 0.075, 0.15, 0.225, 0.3], "decoder": [0, 0.1, 0.2, 0.3, 0.4]}
"""At factors of 0, 0.25, 0.5, 0.75 and 1."""


def shares(stack):
    """The share of layers dropped in each update."""
    rates = [[rate * factor for rate in LAYER_RATES[stack]] for factor in FACTORS]
    masks = [dropped_groups(r, seed=1, update=u, forward_pass=0, name=stack) for u, r in enumerate(rates)]
    return [sum(mask) / 4 for mask in masks]


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_rates_and_shares_of_dropped_layers_are_logged_beside_the_loss(stack, everything):
    log, _ = everything
    assert sorted(log.updates) == list(range(1, 13))
    name = f"layerdrop_{stack[:3]}"
    rates = [MEAN_RATES[stack][int(4 * factor)] for factor in FACTORS]
    assert rates[0] == rates[11] == 0
    assert len(set(shares(stack))) > 2
    entries = [log.updates[i] for i in range(1, 13)]
    assert [float(entry[f"{name}_rate"]) for entry in entries] == pytest.approx(rates, abs=6e-4)
    assert [float(entry[name]) for entry in entries] == shares(stack)
    ends = [0, *(int(float(epoch["train_num_updates"])) for epoch in log.epochs)]
    assert len(ends) > 2 and ends[-1] == 12
    for begin, end, epoch in zip(ends, ends[1:], log.epochs):
        mean_rate, mean_share = (sum(of[begin:end]) / (end - begin) for of in (rates, shares(stack)))
        assert float(epoch[f"train_{name}_rate"]) == pytest.approx(mean_rate, abs=6e-4)
        assert float(epoch[f"train_{name}"]) == pytest.approx(mean_share, abs=6e-4)
    assert f"valid_{name}" not in log.messages


def masks_of(folder):
    """What a killed training noted and had drawn: by update and name."""
    lines = [line.split() for line in (folder / "masks.0").read_text().splitlines()]
    return {(int(update), int(forward_pass), name): mask for update, forward_pass, name, mask in lines}


@pytest.fixture(scope="module")
def killed(everything, words, command, tmp_path_factory):
    """The folder of the same training, killed in its seventh update."""
    folder = tmp_path_factory.mktemp("killed")
    argv = words("transformer", *EVERYTHING, "--user-dir", NOTES, "--save-interval-updates", 3, "--save-dir", folder)
    process = command("fairseq-train", *argv, env={"KILL": "worker 0, update 7"}, status=-signal.SIGKILL)
    log = log_of(process.stdout)
    assert sorted(log.updates) == list(range(1, 8))
    assert losses(log) == {update: loss for update, loss in losses(everything[0]).items() if update < 8}
    return folder


def test_each_kind_of_group_has_masks_of_its_own(killed):
    drawn = masks_of(killed)
    assert {(update, name) for update, _, name in drawn} == {
        (update, name)
        for update in range(7)
        for stack, parts in PARTS.items()
        for name in (stack, *(f"{stack}.{part}" for part in parts))
    }
    rates = [rate * FACTORS[3] for rate in (0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4)]  # two heads in each layer
    mask = dropped_groups(rates, seed=1, update=3, forward_pass=0, name="decoder.encoder_attn.heads")
    assert drawn[3, 0, "decoder.encoder_attn.heads"] == "".join("-x"[dropped] for dropped in mask)
    assert len({drawn[6, 0, name] for name in ("decoder.self_attn.heads", "decoder.encoder_attn.heads")}) == 2
    assert {mask for (update, _, _), mask in drawn.items() if update == 0} == {"-" * n for n in (4, 8)}
    last = {mask for (_, _, name), mask in drawn.items() if name == "decoder.ffn.sublayer"}
    assert last <= {"----", "---x"}


class Writer:
    """In the place of tensorboard's."""

    written = []

    def __init__(self, folder):
        self.folder = Path(folder).name

    def add_scalar(self, name, value, step):
        self.written.append((self.folder, name, step, value))

    def add_text(self, *args):
        pass

    def flush(self):
        pass


def test_killed_and_continued_it_ends_as_if_it_were_not_and_tensorboard_has_the_rates(
    everything, killed, run, tmp_path, monkeypatch
):
    from fairseq.logging import progress_bar

    monkeypatch.setattr(progress_bar, "SummaryWriter", Writer)
    monkeypatch.setattr(progress_bar, "_tensorboard_writers", {})
    monkeypatch.setattr(Writer, "written", [])
    options = ["--save-interval-updates", 3, "--save-dir", killed, "--tensorboard-logdir", tmp_path]
    again = run("transformer", *EVERYTHING, *options)
    log, folder = everything
    assert losses(again) == {update: loss for update, loss in losses(log).items() if update > 6}
    assert_same_training(killed, folder)
    rates = {
        (name, step): value
        for kind, name, step, value in Writer.written
        if kind == "train_inner" and name.startswith("layerdrop_")
    }
    assert len(rates) == 4 * 6
    assert rates["layerdrop_dec_rate", 8] == pytest.approx(0.4)
    assert rates["layerdrop_dec_rate", 9] == pytest.approx(0.3)
    assert rates["layerdrop_enc", 9] == shares("encoder")[8]
    assert [name for kind, name, _, _ in Writer.written if kind == "train"].count("layerdrop_enc_rate") >= 1


# Learned rates.


def rates_in(path, stack="decoder"):
    """The learned rate of each layer in a checkpoint."""
    weights = torch.load(path)["model"]
    rates = {}
    for name, value in weights.items():
        match = re.fullmatch(rf"{stack}\.(?:sentence_encoder\.)?layers\.(\d+)\.learned_rate\.rate", name)
        if match:
            rates[int(match[1])] = value.item()
    return [rates[i] for i in sorted(rates)]


def lowest(rates, keep=2):
    """The layers of the lowest rates, as a specification."""
    assert len(set(rates)) == len(rates)  # else nothing tells one from another
    return ",".join(map(str, sorted(sorted(range(len(rates)), key=rates.__getitem__)[:keep])))


@pytest.fixture(scope="module")
def learned_lm(run, tmp_path_factory):
    """The log and the folder of a language model whose rates were learned."""
    folder = tmp_path_factory.mktemp("learned_lm")
    return run("transformer_lm", *LEARNED_LM, "--save-dir", folder), folder


@pytest.fixture(scope="module")
def learned(learned_lm, run, tmp_path_factory):
    """A checkpoint with learned rates of each family."""
    found = {"transformer_lm": learned_lm[1] / "checkpoint_last.pt"}
    for family, stacks in (("transformer", ("encoder", "decoder")), ("roberta", ("encoder",))):
        folder = tmp_path_factory.mktemp(f"learned_{family}")
        options = [word for s in stacks for word in (f"--{s}-layerdrop", "0.4", f"--{s}-layerdrop-learned")]
        more = ["--encoder-sublayerdrop", "0.1", "--encoder-headdrop", "0.2", "--max-update", 12]
        run(family, *options, *more, "--save-dir", folder)
        found[family] = folder / "checkpoint_last.pt"
    return found


def test_learned_rates_move_around_their_mean(learned_lm):
    log, folder = learned_lm
    rates = rates_in(folder / "checkpoint_last.pt")
    assert sum(rates) / 4 == pytest.approx(0.4, abs=1e-5)
    assert max(rates) - min(rates) > 0.01
    shown = [float(log.updates[i]["layerdrop_dec_rate"]) for i in range(1, 17)]
    assert shown == pytest.approx([0, 0.2, *[0.4] * 10, 0.3, 0.2, 0.1, 0][:16], abs=6e-4)


def test_killed_and_continued_learning_ends_as_if_it_were_not(learned_lm, words, run, command, tmp_path):
    options = [*LEARNED_LM, "--save-interval-updates", 3, "--save-dir", tmp_path]
    argv = words("transformer_lm", *options, "--user-dir", NOTES)
    command("fairseq-train", *argv, env={"KILL": "worker 0, update 10"}, status=-signal.SIGKILL)
    again = run("transformer_lm", *options)
    log, folder = learned_lm
    assert losses(again) == {update: loss for update, loss in losses(log).items() if update > 9}
    assert_same_training(tmp_path, folder)
    names = {name.rpartition(".")[2] for name in state_of(tmp_path)["model"] if "layers.3.learned_rate." in name}
    assert names == {"weight", "bias", "change", "loss", "rate"}


STACKS = {"transformer": ("encoder", "decoder"), "transformer_lm": ("decoder",), "roberta": ("encoder",)}
FAMILIES = list(STACKS)
LM = ["--decoder-layerdrop", "0.4", "--decoder-layerdrop-learned"]
KEEP = ["--decoder-layers-to-keep", "learned:2"]


@pytest.fixture(scope="module")
def kept(learned):
    """The layers of the lowest rates by family and stack, as a specification."""
    return {
        family: {stack: lowest(rates_in(learned[family], stack)) for stack in STACKS[family]} for family in FAMILIES
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_describe_shows_the_learned_rates(family, learned, capsys, tmp_path):
    from layerdrop_plugin.cli.describe import main

    main([str(learned[family]), "--json", str(tmp_path / "found.json")])
    text, found = capsys.readouterr().out, json.loads((tmp_path / "found.json").read_text())[0]
    for stack in STACKS[family]:
        rates = rates_in(learned[family], stack)
        assert found["stacks"][stack]["learned_rates"] == rates
        shown = re.search(rf"^  {stack} rates +learned, by layer: (.*)$", text, re.MULTILINE)[1]
        assert shown == " ".join(f"{rate:.3g}" for rate in rates)


@pytest.mark.parametrize("start", ["--restore-file", "--finetune-from-model"])
def test_training_prunes_to_the_lowest_rates_and_goes_on_when_started_again(start, learned, kept, run, tmp_path):
    begun = 16 if start == "--restore-file" else 0
    options = [*LM, start, learned["transformer_lm"], "--save-interval-updates", 1]
    ends = ["--max-update", begun + 4]
    by_hand = run(
        "transformer_lm", *options, "--decoder-layers-to-keep", kept["transformer_lm"]["decoder"], *ends,
        "--save-dir", tmp_path / "by_hand",
    )  # fmt: skip
    first = run("transformer_lm", *options, *KEEP, "--max-update", begun + 2, "--save-dir", tmp_path / "two")
    again = run("transformer_lm", *options, *KEEP, *ends, "--save-dir", tmp_path / "two")
    line = f"configuration: decoder keeps layers {kept['transformer_lm']['decoder']} of 4"
    assert first.messages.count(line) == again.messages.count(line) == 1
    assert "WARNING | layerdrop_plugin" not in first.messages + again.messages
    assert sorted(again.updates) == [begun + 3, begun + 4]
    assert {**losses(first), **losses(again)} == losses(by_hand)
    assert_same_training(tmp_path / "two", tmp_path / "by_hand")
    assert len(rates_in(tmp_path / "two" / "checkpoint_last.pt")) == 2


@pytest.fixture(scope="module")
def opposite(learned, tmp_path_factory):
    """A run's folder whose rates are those of `learned`, from the last layer to the first."""
    folder = tmp_path_factory.mktemp("opposite")
    state = torch.load(learned["transformer_lm"])
    rates = rates_in(learned["transformer_lm"])
    for i in range(4):
        state["model"][f"decoder.layers.{i}.learned_rate.rate"].fill_(rates[3 - i])
    torch.save(state, folder / "checkpoint_last.pt")
    return folder


def test_the_rates_of_the_checkpoint_that_is_restored_count(learned, kept, opposite, run, tmp_path):
    """Not those of a `checkpoint_last.pt` that fairseq leaves alone: a run may go on from its own best."""
    shutil.copytree(opposite, tmp_path / "run")
    own = kept["transformer_lm"]["decoder"]
    others = lowest(rates_in(opposite / "checkpoint_last.pt"))
    assert own != others
    ends = ["--max-update", 17, "--no-save", "--save-dir", tmp_path / "run"]
    restored = run("transformer_lm", *LM, *KEEP, "--restore-file", learned["transformer_lm"], *ends)
    assert f"configuration: decoder keeps layers {own} of 4" in restored.messages
    went_on = run("transformer_lm", *LM, *KEEP, *ends)
    assert f"configuration: decoder keeps layers {others} of 4" in went_on.messages


def test_another_number_of_layers_than_a_run_has_is_not_ignored(learned, run, words, tmp_path, monkeypatch, capfd):
    path, ends = learned["transformer_lm"], ["--save-dir", tmp_path]
    run("transformer_lm", *LM, *KEEP, "--finetune-from-model", path, "--max-update", 1, *ends)
    more = ["--decoder-layers-to-keep", "learned:3", *ends, "--max-update", 17]
    argv = words("transformer_lm", *USER, *LM, "--finetune-from-model", path, *more)
    assert refused(argv, monkeypatch, capfd) == (
        "`decoder_layers_to_keep` must fit the checkpoint, but is 'learned:3' of 4, "
        f"and {tmp_path / 'checkpoint_last.pt'} has 2."
    )
    log = run("transformer_lm", *LM, "--restore-file", path, *more, "--no-save")
    assert f"configuration: decoder keeps layers {lowest(rates_in(path), 3)} of 4" in log.messages


def test_the_pruned_file_is_the_same_and_trains_on_with_its_optimiser(learned, kept, run, tmp_path):
    from layerdrop_plugin.cli.prune import main

    path = learned["transformer_lm"]
    main([str(path), "-o", str(tmp_path / "small.pt"), "--decoder", "learned:2", "--keep-optimizer"])
    state = torch.load(tmp_path / "small.pt")
    layers = [int(i) for i in kept["transformer_lm"]["decoder"].split(",")]
    assert state["layerdrop"] == {"decoder": {"depth": 4, "kept": layers, "last": {"depth": 4, "kept": layers}}}
    assert rates_in(tmp_path / "small.pt") == [rates_in(path)[i] for i in layers]
    ends = ["--max-update", 19, "--save-dir"]
    run("transformer_lm", *LM, *KEEP, "--restore-file", path, *ends, tmp_path / "on_load")
    file = ["--restore-file", tmp_path / "small.pt", "--decoder-layers", 2]
    assert sorted(run("transformer_lm", *LM, *file, *ends, tmp_path / "file").updates) == [17, 18, 19]
    assert_same_training(tmp_path / "file", tmp_path / "on_load")


@pytest.mark.parametrize("family", FAMILIES)
def test_overrides_and_from_pretrained_take_the_lowest_rates(family, learned, kept, data, load_model, outputs):
    from fairseq.models.roberta import RobertaModel
    from fairseq.models.transformer import TransformerModel
    from fairseq.models.transformer_lm import TransformerLanguageModel

    hubs = {"transformer": TransformerModel, "transformer_lm": TransformerLanguageModel, "roberta": RobertaModel}
    by_hand, _ = load_model(learned[family], **{f"{s}_layers_to_keep": spec for s, spec in kept[family].items()})
    options = {f"{stack}_layers_to_keep": "learned:2" for stack in STACKS[family]}
    model, cfg = load_model(learned[family], **options)
    assert torch.equal(outputs(model, family), outputs(by_hand, family))
    assert [getattr(cfg, f"{stack}_layers") for stack in STACKS[family]] == [2] * len(STACKS[family])
    folder, name = learned[family].parent, learned[family].name
    bpe = {"bpe": None} if family == "roberta" else {}
    hub = hubs[family].from_pretrained(str(folder), name, str(data[family]), **bpe, **options).eval()
    found = hub.model if family == "roberta" else hub.models[0]
    assert torch.equal(outputs(found, family), outputs(by_hand, family))


def table(path):
    return json.loads(path.read_text())


def test_eval_lm_search_and_sweep_find_the_same_loss(learned, kept, data, command, capsys, monkeypatch, tmp_path):
    from layerdrop_plugin.cli import search, sweep

    monkeypatch.chdir(tmp_path)
    argv = list(map(str, [data["transformer_lm"], "--path", learned["transformer_lm"], "--cpu"]))
    search.main([*argv, "--keep", "2", "--json", "search.json"])
    sweep.main([*argv, "--depths", "2", "--strategies", "learned", "--gen-subset", "valid", "--json", "sweep.json"])
    assert "learned:2" in capsys.readouterr().out
    (found,) = [row for row in table(tmp_path / "search.json")["ranking"] if row["rank"] == "learned:2"]
    full, swept = table(tmp_path / "sweep.json")["rows"]
    assert (full["strategy"], swept["strategy"]) == ("full", "learned")
    assert found["decoder"] == swept["decoder"] == kept["transformer_lm"]["decoder"]
    overrides = ["--model-overrides", "{'decoder_layers_to_keep': 'learned:2'}", "--gen-subset", "valid"]
    process = command("fairseq-eval-lm", *argv, *USER, *overrides, "--tokens-per-sample", 32)
    loss = float(re.search(r"Loss \(base 2\): ([\d.]+)", process.stdout + process.stderr)[1])
    assert [found["loss"], loss] == pytest.approx([swept["loss"]] * 2, abs=6e-5)


def test_search_of_two_stacks_has_the_learned_ones_only_where_both_learned(learned, run, data, kept, capsys, tmp_path):
    from layerdrop_plugin.cli import search

    options = ["--keep", "3", "--strategy", "greedy", "--cpu", "--num-batches", "1", "--state", str(tmp_path / "state")]
    run("transformer", "--encoder-layerdrop-learned", "--max-update", 1, "--save-dir", tmp_path)
    for path, count in ((learned["transformer"], 1), (tmp_path / "checkpoint_last.pt", 0)):
        found = tmp_path / f"{count}.json"
        search.main([str(data["transformer"]), "--path", str(path), *options, "--json", str(found)])
        rows = {row["rank"]: row for row in table(found)["ranking"]}
        assert ("learned:3,3" in rows) == bool(count)
    capsys.readouterr()


STOCK = """
import torch
from fairseq import checkpoint_utils
tokens = torch.load(sys.argv[1])
for path, family in zip(sys.argv[2::2], sys.argv[3::2]):
    model = checkpoint_utils.load_model_ensemble([path])[0][0].eval()
    with torch.no_grad():
        out = model(tokens, None, tokens)[0] if family == "transformer" else model(tokens)[0]
    torch.save(out, path + ".out")
"""


def test_stock_fairseq_loads_what_was_pruned_for_it(learned, stock, tokens, load_model, outputs, capsys, tmp_path):
    from layerdrop_plugin.cli.prune import main

    argv = []
    for family, stacks in STACKS.items():
        path = str(tmp_path / f"{family}.pt")
        main([str(learned[family]), "-o", path, "--stock", *(w for s in stacks for w in (f"--{s}", "learned:2"))])
        argv += [path, family]
        assert not any("learned_rate" in name for name in torch.load(path)["model"])
    torch.save(tokens, tmp_path / "tokens.pt")
    stock(STOCK, tmp_path / "tokens.pt", *argv)
    for path, family in zip(argv[::2], argv[1::2]):
        model, _ = load_model(learned[family], **{f"{stack}_layers_to_keep": "learned:2" for stack in STACKS[family]})
        assert torch.allclose(torch.load(f"{path}.out"), outputs(model, family), atol=1e-6)
    capsys.readouterr()


NONE_LEARNED = "must not be 'learned:2' where no drop rates were learned (with --*-layerdrop-learned)."


@pytest.mark.parametrize("start", [["--restore-file"], ["--finetune-from-model"], []], ids=str)
def test_training_without_learned_rates_to_go_by_is_refused(start, words, full, tmp_path, monkeypatch, capfd):
    options = [*start, full["transformer_lm"]] if start else []
    argv = words("transformer_lm", *USER, *options, *KEEP, "--max-update", 14, "--save-dir", tmp_path)
    assert refused(argv, monkeypatch, capfd) == f"`decoder_layers_to_keep` {NONE_LEARNED}"


def refused(argv, monkeypatch, capfd):
    """What fairseq-train says, in this process, as it ends with status 2 before it reads data."""
    from fairseq_cli import train

    monkeypatch.setattr("sys.argv", ["fairseq-train", *argv])
    with listening() as lines, pytest.raises(SystemExit) as end:
        train.cli_main()
    assert end.value.code == 2
    assert not any("examples from" in line for line in lines)
    written = capfd.readouterr().err.splitlines()
    assert written[-1].startswith("fairseq-train: error: ") and "Traceback" not in written
    return written[-1][len("fairseq-train: error: ") :]


def test_other_commands_refuse_a_checkpoint_without_learned_rates(full, data, error_of, load_model, capsys, tmp_path):
    from fairseq.models.transformer_lm import TransformerLanguageModel

    from layerdrop_plugin.cli import prune, search, sweep
    from layerdrop_plugin.fairseq_adapter.errors import UserError

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


def test_roberta_is_finetuned_without_what_learning_added(learned, kept, classifier, tiny, train, tmp_path):
    model = tiny["roberta"][tiny["roberta"].index("--encoder-layers") :]
    task = ["--task", "sentence_prediction", "--criterion", "sentence_prediction", "--num-classes", 2]
    task += ["--init-token", 0, "--max-positions", 32, "--max-update", 2, "--save-dir", tmp_path]
    keep = ["--finetune-from-model", learned["roberta"], "--encoder-layers-to-keep", "learned:2"]
    train(classifier[0], "--arch", "layerdrop_roberta", *model, *task, *keep)
    state = state_of(tmp_path)
    assert ",".join(map(str, state["layerdrop"]["encoder"]["kept"])) == kept["roberta"]["encoder"]
    assert not any("learned_rate" in name for name in state["model"])


# Options that change between runs.


def moments(folder):
    """How many updates each parameter's moments saw, by name; the last but for the buffers."""
    state = state_of(folder)
    from layerdrop_plugin.fairseq_adapter.checkpoint_parameters import parameters

    names = [p.name for p in parameters(state["model"])]
    optimizer = state["last_optimizer_state"]
    assert optimizer["param_groups"][0]["params"] == list(range(len(names)))
    return {names[i]: int(entry["step"]) for i, entry in optimizer["state"].items()}


def test_learning_is_turned_off(learned, run, tmp_path):
    log = run("transformer_lm", "--restore-file", learned["transformer_lm"], "--max-update", 18, "--save-dir", tmp_path)
    assert sorted(log.updates) == [17, 18]
    assert not any("learned_rate" in name for name in state_of(tmp_path)["model"])
    steps = moments(tmp_path)
    assert steps["decoder.embed_tokens.weight"] == steps["decoder.output_projection.weight"] == 18
    assert "WARNING | layerdrop_plugin" not in log.messages


def test_learning_is_turned_on(full, run, tmp_path):
    options = ["--restore-file", full["transformer_lm"], *LM, "--max-update", 14, "--save-dir", tmp_path]
    log = run("transformer_lm", *options)
    assert sorted(log.updates) == [13, 14]
    assert log.messages.count("WARNING | layerdrop_plugin") <= 1
    assert sum(rates_in(tmp_path / "checkpoint_last.pt")) / 4 == pytest.approx(0.4, abs=1e-5)
    assert set(moments(tmp_path).values()) <= {1, 2, 13, 14}


def test_rates_by_layer_stay_with_their_layers(everything, run, command, data, load_model, outputs, capsys, tmp_path):
    from layerdrop_plugin.cli.prune import main

    path, small = everything[1] / "checkpoint_last.pt", tmp_path / "small.pt"
    main([str(path), "-o", str(small), "--encoder", "0,2", "--decoder", "1,3"])
    capsys.readouterr()
    model, cfg = load_model(small)
    rates = {
        "encoder_layerdrop": [0, 0.4],
        "decoder_layerdrop": [0.5, 0.7],
        "encoder_headdrop": [0.5],
        "decoder_headdrop": [0.2, 0.4],
        "encoder_ffndrop": [0.2],
        "decoder_ffndrop": [0.3, 0.1],
        "encoder_sublayerdrop": [0.1],
        "decoder_sublayerdrop": [0, 0.3],
    }
    for name, expected in rates.items():
        assert [float(rate) for rate in str(getattr(cfg, name)).split(",")] == pytest.approx(expected), name
    wanted, _ = load_model(path, encoder_layers_to_keep="0,2", decoder_layers_to_keep="1,3")
    assert torch.equal(outputs(model, "transformer"), outputs(wanted, "transformer"))
    keep = ["--encoder-layers-to-keep", "0,2", "--decoder-layers-to-keep", "1,3", "--restore-file", path]
    log = run("transformer", *EVERYTHING, *keep, "--max-update", 14, "--save-dir", tmp_path)
    assert sorted(log.updates) == [13, 14]
    found = re.findall(r"drop rates of the (\w+), (\S+), from the first layer to the last: (.*)", log.messages)
    assert ("decoder", "layer", "0.5 0.7") in found and ("encoder", "layer", "0 0.4") in found
    assert ("decoder", "self_attn.heads", "0.2 0.4") in found and ("decoder", "ffn", "0.3 0.1") in found
    assert float(log.updates[13]["layerdrop_dec_rate"]) == pytest.approx(0.6 * 0.25, abs=6e-4)
    generate = ["--cpu", "--beam", 1, "--max-len-b", 6, "--batch-size", 24]
    process = command("fairseq-generate", data["transformer"], *USER, *generate, "--path", small)
    assert process.stdout.count("\nH-") == 24


# Nothing dropped.

OFF = {
    "transformer": ["--encoder-layerdrop", "0", "--decoder-layerdrop", "0"],
    "transformer_lm": ["--decoder-layerdrop", "0"],
    "roberta": ["--encoder-layerdrop", "0"],
}
GIVEN_AS_0 = {
    "transformer": [
        "--decoder-headdrop",
        "linear:0:0",
        "--decoder-sublayerdrop",
        "0,0,0,0",
        "--encoder-ffndrop",
        "0.0",
    ],
    "transformer_lm": [],
    "roberta": ["--encoder-headdrop", "0", "--encoder-sublayerdrop", "0", "--layerdrop-warmup-updates", "3"],
}
NOTED = """
from fairseq.tasks.fairseq_task import FairseqTask
train_step = FairseqTask.train_step
found = []
def noted(*args, **kwargs):
    loss, size, output = train_step(*args, **kwargs)
    found.append(float(loss) / float(size))
    return loss, size, output
FairseqTask.train_step = noted
"""
EACH = """
import json
from fairseq_cli.train import cli_main
for family, words in json.load(open(sys.argv[1])).items():
    sys.argv = ["fairseq-train", *words]
    found.clear()
    cli_main()
    print("LOSSES", family, json.dumps(found))
"""


@pytest.mark.slow
def test_nothing_dropped_gives_the_losses_of_stock_fairseq(stock, words, train, monkeypatch, tmp_path):
    """To the last digit of float32, over 50 updates of the translation model: no rate given, or rates of 0."""
    from fairseq.tasks.fairseq_task import FairseqTask

    updates = {"transformer": 50, "transformer_lm": 10, "roberta": 10}
    ends = ["--no-save", "--disable-validation"]
    ends += ["--data-buffer-size", 0]  # the thread that stock leaves behind can abort the end of its process
    ours = {f: words(f, *OFF[f], *ends, "--max-update", number) for f, number in updates.items()}
    theirs = {f: [w.replace("layerdrop_", "") if w == f"layerdrop_{f}" else w for w in ours[f]] for f in ours}
    (tmp_path / "words.json").write_text(json.dumps(theirs))
    process = stock(NOTED + EACH, tmp_path / "words.json")
    expected = {family: json.loads(found) for family, found in re.findall(r"LOSSES (\w+) (.*)", process.stdout)}
    names = {"train_step": FairseqTask.train_step}
    monkeypatch.setattr(FairseqTask, "train_step", FairseqTask.train_step)  # to be put back
    exec(NOTED, names)
    for family, number in updates.items():
        names["found"].clear()
        train(*ours[family], *GIVEN_AS_0[family])
        assert len(expected[family]) == number
        assert names["found"] == pytest.approx(expected[family], rel=1e-6)


# What a user gets wrong.

GRAMMAR = (
    "a rate P with 0 <= P < 1 as in '0.2', one for each layer as in '0.1,0.2,0.3', "
    "'linear:A:B' from the first layer to the last, or 'target:K' for P = 1 - K/N"
)


def wrong(option, value, rule):
    return [f"{option}={value}"], f"`{option}`{rule}"


WRONG = [
    ("transformer", *wrong("--encoder-layerdrop", "x", f" must be {GRAMMAR}, but is 'x' instead.")),
    ("transformer", *wrong("--decoder-layerdrop", "linear:0.1", f" must be {GRAMMAR}, but is 'linear:0.1' instead.")),
    ("transformer", *wrong("--encoder-headdrop", "linear:0:1", " must be at least 0 and below 1, but is 1 instead.")),
    (
        "transformer",
        *wrong("--decoder-headdrop", "target:3", " must not aim for more than there are, but 'target:3' keeps 3 of 2."),
    ),
    ("roberta", *wrong("--encoder-ffndrop", "", f" must be {GRAMMAR}, but is '' instead.")),
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
def test_what_is_wrong_is_one_line_before_data_is_read(family, options, message, words, monkeypatch, capfd, tmp_path):
    argv = words(family, *USER, "--save-dir", tmp_path, *options)
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
