"""Learned drop rates: trainings that are interrupted, pruned and changed; what reads their checkpoints."""

from __future__ import annotations

import json
import re
import shutil
import signal

import pytest
import torch
from shared.trainings import (  # noqa: F401  fixtures
    KEEP,
    LEARNED_LM,
    NOTES,
    USER,
    arguments,
    assert_same_training,
    losses,
    refused,
    run,
    state_of,
)


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


def test_learned_rates_move_around_their_mean(learned_lm):
    log, folder = learned_lm
    rates = rates_in(folder / "checkpoint_last.pt")
    assert sum(rates) / 4 == pytest.approx(0.4, abs=1e-5)
    assert max(rates) - min(rates) > 0.01
    shown = [float(log.updates[i]["layerdrop_dec_rate"]) for i in range(1, 17)]
    assert shown == pytest.approx([0, 0.2, *[0.4] * 10, 0.3, 0.2, 0.1, 0][:16], abs=6e-4)


def test_killed_and_continued_learning_ends_as_if_it_were_not(learned_lm, arguments, run, command, tmp_path):
    options = [*LEARNED_LM, "--save-interval-updates", 3, "--save-dir", tmp_path]
    argv = arguments("transformer_lm", *options, "--user-dir", NOTES)
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
    line = f"configuration: decoder keeps layers [{kept['transformer_lm']['decoder']}] of 4"
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
    assert f"configuration: decoder keeps layers [{own}] of 4" in restored.messages
    went_on = run("transformer_lm", *LM, *KEEP, *ends)
    assert f"configuration: decoder keeps layers [{others}] of 4" in went_on.messages


def test_another_number_of_layers_than_a_run_has_is_not_ignored(
    learned, kept, run, arguments, tmp_path, monkeypatch, capfd
):
    path, ends = learned["transformer_lm"], ["--save-dir", tmp_path]
    run("transformer_lm", *LM, *KEEP, "--finetune-from-model", path, "--max-update", 1, *ends)
    more = ["--decoder-layers-to-keep", "learned:3", *ends, "--max-update", 17]
    argv = arguments("transformer_lm", *USER, *LM, "--finetune-from-model", path, *more)
    assert refused(argv, monkeypatch, capfd) == (
        "`decoder_layers_to_keep` must fit the checkpoint, but is 'learned:3' of 4, "
        f"and {tmp_path / 'checkpoint_last.pt'} was pruned before and holds layers "
        f"[{kept['transformer_lm']['decoder']}] of 4."
    )
    log = run("transformer_lm", *LM, "--restore-file", path, *more, "--no-save")
    assert f"configuration: decoder keeps layers [{lowest(rates_in(path), 3)}] of 4" in log.messages


def test_the_pruned_file_is_the_same_and_trains_on_with_its_optimizer(learned, kept, run, tmp_path):
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

    options = ["--keep", "3", "--strategy", "greedy", "--cpu", "--num-batches", "1"]
    run("transformer", "--encoder-layerdrop-learned", "--max-update", 1, "--save-dir", tmp_path)
    for path, count in ((learned["transformer"], 1), (tmp_path / "checkpoint_last.pt", 0)):
        found = tmp_path / f"{count}.json"
        state = ["--state", str(tmp_path / f"state-{count}")]
        search.main([str(data["transformer"]), "--path", str(path), *options, *state, "--json", str(found)])
        rows = {row["rank"]: row for row in table(found)["ranking"]}
        assert ("learned:3+3" in rows) == bool(count)
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


def test_roberta_is_finetuned_without_what_learning_added(learned, kept, classifier, tiny, train, tmp_path):
    model = tiny["roberta"][tiny["roberta"].index("--encoder-layers") :]
    task = ["--task", "sentence_prediction", "--criterion", "sentence_prediction", "--num-classes", 2]
    task += ["--init-token", 0, "--max-positions", 32, "--max-update", 2, "--save-dir", tmp_path]
    keep = ["--finetune-from-model", learned["roberta"], "--encoder-layers-to-keep", "learned:2"]
    train(classifier[0], "--arch", "layerdrop_roberta", *model, *task, *keep)
    state = state_of(tmp_path)
    assert ",".join(map(str, state["layerdrop"]["encoder"]["kept"])) == kept["roberta"]["encoder"]
    assert not any("learned_rate" in name for name in state["model"])


def moments(folder):
    """How many updates each parameter's moments saw, by name; the last but for the buffers."""
    state = state_of(folder)
    from layerdrop_plugin.fairseq_adapter.checkpoints.parameters import parameters

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
