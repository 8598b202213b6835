"""The command `layerdrop-search`: rankings, files, interruptions, workers, and one line for what a user gets wrong."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import combinations, product

import pytest
from fork_server import programs

from layerdrop_plugin.cli import search as command_line
from layerdrop_plugin.fairseq_adapter import evaluation, generation

USER = ["--user-dir", "layerdrop_plugin", "--cpu"]
SLOW = ["--keep", 2, "--cpu", "--batch-size", 1, "--required-batch-size-multiple", 1]  # 36 sets, 24 batches
KEEPING_ITS_STATE = """
import time
from layerdrop_plugin import measuring
from layerdrop_plugin.cli import search

def save_after_each_score(self):
    time.sleep(0.01)  # 864 scores take long enough to be interrupted three times, on a fast machine too
    if time.monotonic() - self._saved > 0.05:
        self.save()

measuring.Measuring._save_now_and_then = save_after_each_score
search.main()
"""
WORKERS = ["-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def words(full, data):
    """A function from a family to the first words of a search that is quick."""
    return lambda family: [data[family], "--path", full[family], "--keep", 2, "--cpu"]


def inside(capsys, *argv, status=None):
    """Run the command in this process; return what it writes."""
    try:
        command_line.main([str(word) for word in argv])
    except SystemExit as end:
        assert end.code == status, capsys.readouterr()
    else:
        assert status is None, capsys.readouterr()
    return capsys.readouterr()


def read(path):
    with open(path) as file:
        return json.load(file)


def without_cost(found):
    """The result but for the time it took and what an interruption makes run again."""
    return {**found, "cost": {**found["cost"], "seconds": None, "layer_evaluations": None}}


def table_of(output):
    """The rows of the first table: rank and specifications, then numbers."""
    lines = output.splitlines()
    end = next(i for i, line in enumerate(lines) if " layer evaluations, " in line)
    return [line.split() for line in lines[1:end]]


@pytest.fixture(scope="module")
def translation(full, data, command, tmp_path_factory):
    """A search of both stacks by the real command; the finished process, and the folder with its files."""
    folder = tmp_path_factory.mktemp("translation")
    argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
    argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
    return command("layerdrop-search", *argv, cwd=folder), folder


def test_both_stacks_of_a_translation_model(translation):
    process, folder = translation
    assert sorted(os.listdir(folder)) == ["found.csv", "found.json"]  # no state is left
    found = read(folder / "found.json")
    lines = process.stdout.splitlines()
    assert lines[0] == (
        "keep 2 of 4 encoder layers and 2 of 4 decoder layers: exhaustive search, 24 batches, 160 predictions"
    )
    header, *rows = table_of(process.stdout)
    columns = ["rank", "encoder", "decoder", "loss", "perplexity", "loss_1st_half", "loss_2nd_half"]
    assert header == columns == list(found["ranking"][0])
    assert [row[0] for row in rows] == [*map(str, range(1, 11)), "every_other:2,2", "first:2,2", "last:2,2"]
    with open(folder / "found.csv", newline="") as file:
        written = list(csv.DictReader(file))
    for row, data, cells in zip(rows, found["ranking"], written):
        assert row[:3] == [data[name] for name in columns[:3]] == [cells[name] for name in columns[:3]]
        assert [float(cells[name]) for name in columns[3:]] == [data[name] for name in columns[3:]]
        shown = [f"{data['loss']:.4f}", f"{data['perplexity']:.2f}"]
        assert row[3:] == shown + [f"{data[name]:.4f}" for name in columns[5:]]
    assert len(rows) == len(found["ranking"]) == len(written) == 13
    assert lines[-1] == f'--model-overrides "{found["model_overrides"]}"'
    best = found["ranking"][0]
    assert found["best"] == {"encoder": best["encoder"], "decoder": best["decoder"]}
    assert found["model_overrides"] == str({f"{s}_layers_to_keep": best[s] for s in ("encoder", "decoder")})
    assert found["cost"] == {
        "layer_evaluations": 24 * 63,
        "seconds": found["cost"]["seconds"],
        "candidates": 36,
        "exhaustive_layer_evaluations_a_batch": 63,  # 9 in the encoder; 9 in the decoder for each of 6
        "one_by_one_layer_evaluations_a_batch": 144,
    }
    assert lines[15].startswith("1,512 layer evaluations, ") and lines[16] == "test, not searched on:"
    assert [row["rank"] for row in found["report"]["rows"]] == ["1", "every_other:2,2"]
    warnings = [line.split("warning: ")[1] for line in process.stderr.splitlines() if "warning: " in line]
    assert warnings == found["warnings"]


def test_the_ranking_is_that_of_brute_force(translation, full, data, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = evaluation.load(str(full["transformer"]), "{}", [str(data["transformer"]), "--cpu"], pytest.fail)
    batches = model.batches("valid")
    losses = {}
    for encoder, decoder in product(combinations(range(4), 2), repeat=2):
        with model.running({"encoder": encoder, "decoder": decoder}):
            loss, count, _ = map(sum, zip(*map(model.tally, batches)))
        losses[",".join(map(str, encoder)), ",".join(map(str, decoder))] = loss / count
    found = {(row["encoder"], row["decoder"]): row["loss"] for row in read(translation[1] / "found.json")["ranking"]}
    assert list(found)[:10] == sorted(losses, key=losses.get)[:10]
    assert found == {kept: pytest.approx(losses[kept], rel=1e-5) for kept in found}


def test_fairseq_generate_takes_the_overrides(translation, full, data, command):
    best = read(translation[1] / "found.json")
    argv = [data["transformer"], *USER, "--path", full["transformer"], "--max-tokens", 300, "--max-len-b", 5]
    process = command("fairseq-generate", *argv, "--model-overrides", best["model_overrides"])
    assert process.stdout.count("\nH-") == 24
    kept = "; ".join(f"{stack} keeps layers {layers} of 4" for stack, layers in best["best"].items())
    assert f"Pruning model to specified layer configuration: {kept}" in process.stdout + process.stderr


def test_fairseq_eval_lm_takes_the_overrides_and_finds_the_loss(words, data, full, command, capsys, folder):
    output = inside(capsys, *words("transformer_lm"), "--json", "a.json", "--strategy", "exhaustive").out
    best = read("a.json")["ranking"][0]
    (overrides,) = re.findall(r'^--model-overrides "(.*)"$', output, flags=re.MULTILINE)
    argv = [data["transformer_lm"], *USER, "--path", full["transformer_lm"], "--tokens-per-sample", 32]
    process = command("fairseq-eval-lm", *argv, "--gen-subset", "valid", "--model-overrides", overrides)
    found = re.findall(r"Loss \(base 2\): ([0-9.]+), Perplexity: ([0-9.]+)", process.stdout + process.stderr)
    assert found == [(f"{best['loss']:.4f}", f"{best['perplexity']:.2f}")]


def test_of_a_model_that_is_pruned_already_the_checkpoints_layers_are_named(full, data, capsys, folder, monkeypatch):
    """What is printed goes in the place of the overrides that were given, so it keeps what else they say."""
    argv = [data["transformer"], "--path", full["transformer"], "--cpu"]
    given = ["--model-overrides", "{'encoder_layers_to_keep': '1,3', 'decoder_layers_to_keep': '1-3'}"]
    output = inside(capsys, *argv, *given, "--stack", "decoder", "--keep", 2, "--json", "a.json").out
    best = read("a.json")
    assert best["ranking"][0]["decoder"] in ("1,2", "1,3", "2,3")
    assert best["model_overrides"] == str(
        {"encoder_layers_to_keep": "1,3", "decoder_layers_to_keep": best["best"]["decoder"]}
    )
    assert output.startswith("keep 2 of 3 decoder layers: ")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = evaluation.load(str(argv[2]), best["model_overrides"], [str(argv[0]), "--cpu"], pytest.fail)
    loss, count, _ = map(sum, zip(*map(model.tally, model.batches("valid"))))
    assert best["ranking"][0]["loss"] == pytest.approx(loss / count, rel=1e-5)


@pytest.mark.parametrize("strategy", ["racing", "greedy"])
def test_other_strategies_on_a_language_model(words, capsys, folder, strategy):
    argv = [*words("transformer_lm"), "--max-tokens", 64]
    inside(capsys, *argv, "--strategy", "exhaustive", "--json", "all.json")
    output = inside(capsys, *argv, "--strategy", strategy, "--json", "some.json").out
    every, some = read("all.json"), read("some.json")
    assert output.startswith(f"keep 2 of 4 decoder layers: {strategy} search, 3 batches, 160 predictions\n")
    losses = {row["decoder"]: row["loss"] for row in every["ranking"]}
    assert {row["decoder"]: row["loss"] for row in some["ranking"]}.items() <= losses.items()
    if strategy == "racing":  # of six all reach the end
        assert some["ranking"] == every["ranking"]
    assert some["cost"]["layer_evaluations"] == {"racing": 27, "greedy": 3 * (9 + 5)}[strategy]


def test_roberta(words, capsys, folder):
    output = inside(capsys, *words("roberta"), "--strategy", "exhaustive", "--num-batches", 4)
    assert output.out.startswith("keep 2 of 4 encoder layers: exhaustive search, 4 batches, ")
    assert re.search(r"""^--model-overrides "\{'encoder_layers_to_keep': '\d,\d'\}"$""", output.out, flags=re.MULTILINE)
    assert os.listdir() == []


def test_accuracy_of_a_classifier(classifier, capsys, folder):
    argv = [classifier[0], "--path", classifier[1], "--keep", 2, "--cpu", "--metric", "accuracy", "--batch-size", 8]
    output = inside(capsys, *argv, "--json", "a.json").out
    header, *rows = table_of(output)
    assert header == ["rank", "encoder", "loss", "perplexity", "accuracy", "loss_1st_half", "loss_2nd_half"]
    found = [(row["accuracy"], row["loss"]) for row in read("a.json")["ranking"][:6]]
    assert found == sorted(found, key=lambda pair: (-pair[0], pair[1]))
    assert all((24 * accuracy / 100) == pytest.approx(round(24 * accuracy / 100)) for accuracy, _ in found)
    assert rows[0][4] == f"{found[0][0]:.2f}" and found[0][0] > 40


def test_bleu(full, data, capsys, folder, monkeypatch):
    pytest.importorskip("sacrebleu")
    options = ["--cpu", "--beam", 2, "--min-len", 4, "--max-len-b", 9, "--max-tokens", 200]
    argv = [data["transformer"], "--path", full["transformer"], "--stack", "decoder", "--keep", 3, *options]
    output = inside(capsys, *argv, "--bleu", "--num-batches", 1, "--json", "a.json").out
    header, *rows = table_of(output)
    assert header[-1] == "bleu"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    model = evaluation.load(
        str(full["transformer"]), "{}", [str(w) for w in [data["transformer"], *options]], pytest.fail
    )
    from layerdrop_plugin.fairseq_adapter.layer_search import chosen_batches

    batches = chosen_batches(model, "valid", 1)
    for row, shown in zip(read("a.json")["ranking"], rows):
        with model.running({"decoder": tuple(map(int, row["decoder"].split(",")))}):
            assert row["bleu"] == generation.bleu(model, batches).score
        assert shown[-1] == f"{row['bleu']:.2f}"


@pytest.mark.parametrize("keep", [1, 4])
def test_one_layer_and_all_layers(words, capsys, folder, keep):
    for strategy in ("exhaustive", "greedy", "racing"):
        argv = [*words("transformer_lm"), "--keep", keep, "--strategy", strategy, "--json", "a.json", "--force"]
        inside(capsys, *argv)
        rows = read("a.json")["ranking"]
        assert all(len(row["decoder"].split(",")) == keep for row in rows)
        assert len(rows) == {1: {"greedy": 5}.get(strategy, 7), 4: 4}[keep] or strategy == "greedy"


def test_one_batch_and_more_than_there_are(words, capsys, folder):
    argv = [*words("transformer_lm"), "--max-tokens", 4000, "--num-batches", 9, "--json", "a.json", "--csv", "a.csv"]
    said = inside(capsys, *argv).err.splitlines()
    assert said == [
        "layerdrop-search: warning: valid has 1 batches only",
        "layerdrop-search: warning: the data make one batch, so what is noise can't be told; "
        "make --max-tokens or --batch-size smaller.",
    ]
    rows = read("a.json")["ranking"]
    assert [row["loss_2nd_half"] for row in rows] == [None] * len(rows)
    assert all(line.endswith(",") for line in (folder / "a.csv").read_text().splitlines()[1:])


def begin(argv, folder):
    """Start a search that keeps its state all the time."""
    line = [*programs.ASK, "-W", "ignore", "-c", KEEPING_ITS_STATE, *map(str, argv)]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def progress_in(path):
    """How many scores a state holds; 0, where there is none."""
    try:
        with open(path) as file:
            (call,) = json.load(file)["calls"]
    except FileNotFoundError:
        return 0
    return 36 * call["done"] + len(call["partial"])


def wait_for_progress(process, path, before):
    deadline = time.monotonic() + 300
    while progress_in(path) < before + 60:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def end_by(process, number):
    """Send a signal, and again where Python lost it: one that comes in a destructor is only noted on standard error."""
    for seconds in (8, 8, 60):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=seconds)
    raise AssertionError(f"{number!r} has no effect")


@pytest.mark.slow
def test_interrupted_by_every_signal_and_resumed(translation, full, data, command, tmp_path):
    """Ctrl-C, kill -9 and SIGTERM one after another; what the last process finds is what one alone does."""
    argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
    argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
    done, resume = 0, []
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        process = begin([*argv, *resume], tmp_path)
        if not resume:
            path = tmp_path / "none yet"
            while not path.exists():
                path = next(tmp_path.glob("layerdrop-search-*.json"), path)
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
        wait_for_progress(process, path, done)
        out, err = end_by(process, number)
        assert progress_in(path) >= done + 60
        done, resume = progress_in(path), ["--resume"]
        assert sorted(file for file in os.listdir(tmp_path) if not file.endswith(".tmp")) == [path.name]
        if number is signal.SIGKILL:
            assert (process.returncode, out) == (-9, "")
            continue
        assert process.returncode == 130
        assert err.splitlines()[-1] == f"layerdrop-search: interrupted; --resume goes on from {path.name}"
        assert "Traceback" not in err
        first, second = out.splitlines()
        assert re.fullmatch(r"best so far, 2 encoder and 2 decoder layers: loss \d\.\d{4}, perplexity \d+\.\d\d", first)
        layers = r"'\d,\d'"
        overrides = rf"\{{'encoder_layers_to_keep': {layers}, 'decoder_layers_to_keep': {layers}\}}"
        assert re.fullmatch(f'--model-overrides "{overrides}"', second)
    assert done < 36 * 24
    process = command("layerdrop-search", *argv, "--resume", cwd=tmp_path)
    expected, folder = translation
    assert without_cost(read(tmp_path / "found.json")) == without_cost(read(folder / "found.json"))
    assert (tmp_path / "found.csv").read_bytes() == (folder / "found.csv").read_bytes()
    assert table_of(process.stdout) == table_of(expected.stdout)
    again = read(tmp_path / "found.json")["cost"]["layer_evaluations"] - 24 * 63
    assert 0 <= again <= 3 * 4  # of what was done, a set's four layers at each interruption
    assert not path.exists()


@pytest.mark.workers
@pytest.mark.slow
def test_two_workers_find_the_same(translation, full, data, command, tmp_path):
    argv = [data["transformer"], "--path", full["transformer"], *SLOW, "--strategy", "exhaustive"]
    argv += ["--report-subset", "test", "--json", "found.json", "--csv", "found.csv"]
    process = command("python", *WORKERS, "-m", "layerdrop_plugin.cli.search", *argv, cwd=tmp_path)
    alone, folder = translation
    found, expected = read(tmp_path / "found.json"), read(folder / "found.json")
    assert without_cost(found) == without_cost(expected)
    assert found["cost"]["layer_evaluations"] == expected["cost"]["layer_evaluations"]  # of both workers
    assert (tmp_path / "found.csv").read_bytes() == (folder / "found.csv").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["found.csv", "found.json"]
    assert process.stdout.count("--model-overrides") == 1 and table_of(process.stdout) == table_of(alone.stdout)


def interrupt(monkeypatch, after):
    """Press Ctrl-C in this process after some scores."""
    from layerdrop_plugin.fairseq_adapter import layer_search

    scored, score = [], layer_search.Scoring.__call__

    def until(self, batch, candidates):
        for found in score(self, batch, candidates):
            if len(scored) == after:
                raise KeyboardInterrupt
            scored.append(batch)
            yield found

    monkeypatch.setattr(layer_search.Scoring, "__call__", until)


def test_interrupted_before_there_is_a_best(words, capsys, folder, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 0)
        said = inside(capsys, *words("transformer_lm"), status=130)
    (state,) = os.listdir()
    assert (said.out, said.err) == ("", f"layerdrop-search: interrupted; --resume goes on from {state}\n")
    inside(capsys, *words("transformer_lm"), "--resume", "--json", "a.json")
    assert os.listdir() == ["a.json"]
    inside(capsys, *words("transformer_lm"), "--json", "b.json")
    assert without_cost(read("a.json")) == without_cost(read("b.json"))


def test_greed_that_is_interrupted_says_how_many_layers_are_left(words, capsys, folder, monkeypatch):
    interrupt(monkeypatch, 2)
    said = inside(capsys, *words("transformer_lm"), "--keep", 1, "--strategy", "greedy", status=130)
    assert said.out.startswith("best so far, 3 decoder layers: loss ")


def test_interrupted_while_the_second_split_is_scored(words, capsys, folder, monkeypatch):
    """After the search; nothing of it is scored again."""
    argv = [*words("transformer_lm"), "--num-batches", 2, "--max-tokens", 64, "--report-subset", "test"]
    with monkeypatch.context() as patch:
        interrupt(patch, 12)
        said = inside(capsys, *argv, status=130)
    assert said.out.startswith("best so far, 2 decoder layers: loss ")
    interrupt(monkeypatch, 6)  # of the test split: 2 sets, 3 batches
    inside(capsys, *argv, "--resume")
    assert os.listdir() == []


def test_results_that_cannot_be_written_are_shown_and_kept(words, capsys, folder, monkeypatch):
    from layerdrop_plugin.cli import results

    def full_disk(*args):
        raise ValueError("`--json` must be a file that can be written, but a.json can't: No space left on device.")

    monkeypatch.setattr(results, "write", full_disk)
    said = inside(capsys, *words("transformer_lm"), "--json", "a.json", status=2)
    assert said.out.splitlines()[-1].startswith("--model-overrides ")
    assert said.err.splitlines()[-1].endswith("No space left on device.")


def test_searches_side_by_side_have_states_of_their_own(words, capsys, folder, monkeypatch):
    """Two in one folder; to go on, each asks for its own, and another one, or other data, for none that is there."""
    family = "transformer_lm"
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        inside(capsys, *words(family), "--strategy", "exhaustive", status=130)
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        inside(capsys, *words(family), "--strategy", "greedy", status=130)
    states = os.listdir()
    assert len(states) == 2
    said = inside(capsys, *words(family), "--strategy", "greedy", status=2).err
    (state,) = (name for name in states if name in said)
    assert said == (
        f"layerdrop-search: error: `--state` must be a new file, but {state} is of a search to --resume; "
        "--force starts it anew.\n"
    )
    for others in (
        ["--strategy", "racing"],
        ["--strategy", "greedy", "--seed", 2],
        ["--strategy", "greedy", "--keep", 1],
    ):
        said = inside(capsys, *words(family), *others, "--resume", status=2)
        assert re.fullmatch(
            r"layerdrop-search: error: `--resume` must find the state of an interrupted search, "
            r"but layerdrop-search-[0-9a-f]{8}\.json does not exist\.\n",
            said.err,
        )
    assert sorted(os.listdir()) == sorted(states)
    inside(capsys, *words(family), "--strategy", "greedy", "--resume")
    assert len(os.listdir()) == 1
    inside(capsys, *words(family), "--strategy", "exhaustive", "--force")  # anew
    assert os.listdir() == []


def test_a_state_of_another_search(words, capsys, folder, monkeypatch):
    argv = [*words("transformer_lm"), "--strategy", "exhaustive", "--state", "mine"]
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        inside(capsys, *argv, status=130)
    before = (folder / "mine").read_bytes()
    for others, said in {
        ("--strategy", "greedy"): "`strategy` was 'exhaustive' and is 'greedy'",
        ("--gen-subset", "test"): "`split` was 'valid' and is 'test'",
        ("--keep", "3"): "`keep` was [2] and is [3]",
        ("--model-overrides", "{'dropout': 0.5}"): "`model_overrides` was '{}' and is \"{'dropout': 0.5}\"",
    }.items():
        found = inside(capsys, *argv, *others, "--resume", status=2).err
        assert found == f"layerdrop-search: error: `--resume` must go on with the same search, but {said}.\n"
    assert (folder / "mine").read_bytes() == before
    inside(capsys, *argv, "--resume")
    assert os.listdir() == []


def test_data_that_changed_are_another_search(full, data, capsys, folder, monkeypatch):
    import shutil

    shutil.copytree(data["transformer_lm"], folder / "data")
    argv = ["data", "--path", full["transformer_lm"], "--keep", 2, "--cpu", "--state", "mine"]
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        inside(capsys, *argv, status=130)
    for end in ("bin", "idx"):
        shutil.copy(folder / "data" / f"test.{end}", folder / "data" / f"valid.{end}")
    said = inside(capsys, *argv, "--resume", status=2).err
    assert re.fullmatch(
        r"layerdrop-search: error: `--resume` must go on with the same search, "
        r"but `batches` was '[0-9a-f]{16}' and is '[0-9a-f]{16}'\.\n",
        said,
    )


def test_output_that_nobody_reads(words, folder, fork_server):
    """As in `... | head -1`: quiet, and the files are written."""
    program = [*programs.ASK, "-W", "ignore", programs.BIN / "layerdrop-search"]
    argv = [*program, *words("transformer_lm"), "--json", "a.json"]
    process = subprocess.Popen([str(w) for w in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(timeout=60) == 141
    assert "Broken" not in said and "Traceback" not in said and os.listdir() == ["a.json"]


SAME = "`{}` must be another file than --{}, but is {} too."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep", "0"], "argument --keep: must be a whole number of at least 1, but is '0' instead."),
        (["--keep", "2,"], "argument --keep: must be a whole number of at least 1, but is '' instead."),
        (["--keep", "half"], "argument --keep: must be a whole number of at least 1, but is 'half' instead."),
        (["--keep", "5"], "`--keep` must be at most the decoder's depth, 4, but is 5 instead."),
        (["--keep", "2,2"], "`--keep` must be one number, or one for each of 1 stacks, but is '2,2'."),
        (["--stack", "encoder"], "`--stack` must be one that can be pruned, decoder, but is 'encoder' instead."),
        (["--stack", "middle"], "argument --stack: invalid choice: 'middle' (choose from *)"),
        (["--strategy", "best"], "argument --strategy: invalid choice: 'best' (choose from *)"),
        (["--metric", "bleu"], "argument --metric: invalid choice: 'bleu' (choose from *)"),
        (
            ["--metric", "accuracy"],
            "`--metric accuracy` must go with a task that classifies sentences, but this one does not.",
        ),
        (["--num-batches", "0"], "argument --num-batches: must be a whole number of at least 1, but is '0' instead."),
        (["--gen-subset", "dev"], "`--gen-subset` must be a split of the data, but DATA has no 'dev'."),
        (["--report-subset", "dev"], "`--report-subset` must be a split of the data, but DATA has no 'dev'."),
        (["--report-subset", "valid"], "`--report-subset` must be another split than is searched, but is 'valid'."),
        (["--bleu"], "`--bleu` must be for a translation model, but this one has a stack of decoder layers only."),
        (["--path", "no.pt"], "`--path` must be the file of a checkpoint, but no.pt does not exist."),
        (["--path", "a.pt:b.pt"], "`--path` must be one checkpoint, but is 'a.pt:b.pt' instead."),
        (["--model-overrides", "3"], "`--model-overrides` must be a Python dict, but is '3' instead."),
        (
            ["--resume", "--state", "no"],
            "`--resume` must find the state of an interrupted search, but no does not exist.",
        ),
        (["--resume", "--state", "old"], "`--state` must be the state of an interrupted search, but old is none."),
        (["--state", "old"], "`--state` must be the state of an interrupted search, but old is none."),
        (["--state", "old", "--force"], "`--state` must be the state of an interrupted search, but old is none."),
        (["--state", "."], "`--state` must name a file, no folder or device, but is '.' instead."),
        (["--state", "no/state"], "`--state` must be in a folder that exists, but is 'no/state' instead."),
        (["--json", "old"], "`--json` must be a new file, but old exists; --force replaces it."),
        (["--csv", "old"], "`--csv` must be a new file, but old exists; --force replaces it."),
        (["--json", "no/file"], "`--json` must be in a folder that exists, but is 'no/file' instead."),
        (["--json", "old", "--path", "old", "--force"], "`--json` must be another file than old, but is old."),
        (["--json", "a", "--csv", "./a"], SAME.format("--csv", "json", "./a")),
        (["--json", "a", "--state", "./a"], SAME.format("--state", "json", "./a")),
        (["--csv", "a", "--state", "a"], SAME.format("--state", "csv", "a")),
        (["--max-tokens", "0"], "`--max-tokens` must be at least 1, but is 0 instead."),
        (["--fp16"], "`--fp16` must go with a GPU, but the model runs on the CPU."),
        (["--kept", "2"], "unrecognized arguments: --kept 2"),
        (["--num-batch", "2"], "unrecognized arguments: --num-batch 2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_what_is_wrong(words, data, capsys, folder, options, said):
    (folder / "old").write_text("old")
    found = inside(capsys, *words("transformer_lm"), *options, status=2)
    assert found.out == ""
    line = re.sub(r"\(choose from .*\)", "(choose from *)", found.err)
    assert line == f"layerdrop-search: error: {said}\n".replace("DATA", str(data["transformer_lm"]))
    assert os.listdir() == ["old"] and (folder / "old").read_text() == "old"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: --path, --keep"),
        (["DATA", "--path", "a.pt"], "the following arguments are required: --keep"),
        (["DATA", "--keep", "2"], "the following arguments are required: --path"),
    ],
)
def test_options_that_are_missing(capsys, argv, said):
    assert inside(capsys, *argv, status=2).err == f"layerdrop-search: error: {said}\n"


def test_no_data(words, capsys, folder):
    said = inside(capsys, *words("transformer_lm")[1:], status=2).err
    assert said == "layerdrop-search: error: the following arguments are required: data\n"


def test_a_folder_that_is_read_only(words, capsys, folder, monkeypatch):
    """Said at once: the state could not be kept."""
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == "." and mode == os.W_OK))  # root may write
    said = inside(capsys, *words("transformer_lm"), status=2).err
    assert re.fullmatch(
        r"layerdrop-search: error: `--state` must be in a folder that can be written, "
        r"but is 'layerdrop-search-[0-9a-f]{8}\.json' instead\.\n",
        said,
    )


def test_the_handlers_of_signals_are_given_back(words, capsys, folder):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    inside(capsys, *words("transformer_lm"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_help_has_examples(capsys):
    examples = inside(capsys, "--help", status=0).out.split("\nexamples:\n")[1].splitlines()
    assert len(examples) == 4 and all("--path" in line and "--keep" in line for line in examples)
