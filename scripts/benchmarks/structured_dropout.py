"""What structured_dropout.sh starts: the models' options, perplexities at depths, speed in training, and the report."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structured_dropout_tables as tables
from report import Parser, at_least_two, drop_rate, head, positive, ratio, say
from speed import in_turns, words_per_second

KINDS = {"heads": "headdrop", "ffn": "ffndrop", "sublayers": "sublayerdrop", "layers": "layerdrop"}
ALL = "0.999999"
"""A rate at which everything is dropped, for what it would save; 1 is none."""


def main() -> None:
    args = parse_args()
    {"options": show_options, "evaluate": evaluate, "speed": speed, "report": report}[args.job](args)


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("job", choices=["options", "evaluate", "speed", "report"])
    parser.add_argument("out", type=Path, help="folder with data in bin/ and models in train/NAME; gets the results")
    parser.add_argument(
        "--models",
        nargs="+",
        type=model,
        required=True,
        help="none, learned, depths, depths-0.6, own-6, heads+layers-0.1",
    )
    parser.add_argument("--rate", type=drop_rate, required=True, help="of those whose name has none")
    parser.add_argument("--layers", type=positive, required=True, help="of all but learned and own-K")
    parser.add_argument("--depths", required=True, help="numbers of layers: what depths trains, and all are pruned to")
    parser.add_argument("--half", type=int, required=True, help="the depth beside the full one in the table of kinds")
    parser.add_argument("--keep", help="evaluate: layers to keep of the model that learned its rates")
    parser.add_argument("--batches", help="evaluate: options of fairseq's")
    parser.add_argument("--training", help="speed: options of fairseq-train")
    parser.add_argument("--rounds", type=at_least_two, help="speed: at least 2")
    parser.add_argument("--steps", type=positive, help="speed: updates of each model in a round")
    parser.add_argument("--about", help="report: the models and their training, in words")
    parser.add_argument("--command", help="report: what the tables say made them")
    return parser.parse_args()


def model(name: str) -> str:
    """Checks a name."""
    parts = [part.partition("-") for part in name.split("+")]
    if name.startswith("own-"):
        positive(name[len("own-") :])
    elif name.startswith("depths-"):
        share_of_full_depth(name[len("depths-") :])
    elif name not in ("none", "learned", "depths"):
        for kind, dash, own in parts:
            if kind not in KINDS:
                known = ", ".join(KINDS)
                raise argparse.ArgumentTypeError(
                    f"must be none, learned, depths, own-K, or of {known} joined by +, but is {name!r}."
                )
            if dash:
                drop_rate(own)
    return name


def share_of_full_depth(text: str) -> None:
    try:
        drop_rate(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be depths-S with a share of full depth, 0 <= S < 1, but is depths-{text} instead."
        ) from None


def options(name: str, rate: float | str, depths: str, layers: int) -> list[str]:
    """The options of a model of so many layers: each kind at `rate` or at the rate that its name has.

    >>> options("heads+layers-0.5", 0.2, "9,6", 12)
    ['--decoder-headdrop', '0.2', '--decoder-layerdrop', '0.5']
    """
    if name == "none" or name.startswith("own-"):
        return []
    if name.startswith("depths"):
        return ["--layerdrop-depths", tables.trained_depths(name, depths, layers)]
    if name == "learned":
        return [*options("layers", rate, depths, layers), "--decoder-layerdrop-learned"]
    parts = [part.partition("-") for part in name.split("+")]
    return [word for kind, _, own in parts for word in (f"--decoder-{KINDS[kind]}", own or str(rate))]


def show_options(args: argparse.Namespace) -> None:
    for name in args.models:
        print(name, *options(name, args.rate, args.depths, args.layers))


def evaluate(args: argparse.Namespace) -> None:
    """The project's commands, in this process: each starts within a moment."""
    from layerdrop_plugin.cli import describe, search, sweep

    paths = {name: args.out / "train" / name / "checkpoint_last.pt" for name in args.models}
    data, once = [args.out / "bin", *args.batches.split()], ["--repeats", 1]
    for file, models in swept(args.models).items():
        first, *others = (paths[name] for name in models)
        compared = ["--compare", *others, "--labels", *models] if others else ["--labels", *models]
        depths = f"{args.half},{args.depths}" if file == "depths" else file[len("own-") :]
        made(args, file, sweep, *data, *once, "--path", first, *compared, "--depths", depths,
             "--gen-subset", "valid")  # fmt: skip
    if "learned" not in paths:
        return
    learned = ["--path", paths["learned"]]
    made(args, "rates", describe, paths["learned"])
    made(args, "test", sweep, *data, *once, *learned, "--depths", args.keep, "--gen-subset", "test",
         "--strategies", "every_other,first,last,learned")  # fmt: skip
    state = args.out / "search.state"
    resume = ["--resume"] if state.exists() else []
    made(args, "search", search, *data, *learned, "--keep", args.keep, "--strategy", "racing",
         "--report-subset", "test", "--state", state, *resume, *SEARCHED)  # fmt: skip


def swept(models: Sequence[str]) -> dict[str, list[str]]:
    """The models of each sweep, by the file that it writes: those that are pruned, and alone each that is not.

    >>> swept(["none", "depths", "own-6", "own-3"])
    {'depths': ['none', 'depths'], 'own-6': ['own-6'], 'own-3': ['own-3']}
    """
    own = {name: [name] for name in models if name.startswith("own-")}
    pruned = [name for name in models if name not in own]
    return {"depths": pruned, **own} if pruned else own


def made(args: argparse.Namespace, name: str, command: Any, *argv: object) -> None:
    """Run a command for its --json, unless that is there; its tables go beside the progress."""
    file = args.out / f"{name}.json"
    if file.exists():
        return
    say(f"{file.name}: layerdrop-{command.__name__.rpartition('.')[2]} {' '.join(map(str, argv))}")
    with contextlib.redirect_stdout(sys.stderr):
        command.main([*map(str, argv), "--json", str(file)])


def speed(args: argparse.Namespace) -> None:
    """Words/s of each kind in each round, in turns: beside them stock fairseq, and each kind with all of it dropped."""
    file = args.out / "speed.json"
    if file.exists():
        return
    kinds = list(dict.fromkeys(["none", *tables.kinds(args.models)]))
    jobs = {name: job(args, "ours", *options(name, args.rate, args.depths, args.layers)) for name in kinds}
    jobs["stock"] = job(args, "stock")
    saving = dict.fromkeys(kind for name in kinds for kind in tables.saving(name))
    jobs.update((f"no {kind}", job(args, "ours", *options(kind, ALL, args.depths, args.layers))) for kind in saving)
    args.work = args.out / "speed"
    args.work.mkdir(exist_ok=True)
    say(f"speed: {len(jobs)} models take turns, {args.rounds} rounds of {args.steps} updates")
    steps = in_turns(args, jobs)
    words = {name: words_per_second(rounds, layers_run(args, name)) for name, rounds in steps.items()}
    dropped = {name: 1 - layers_run(args, name) / args.layers if name == "depths" else args.rate for name in kinds}
    file.write_text(json.dumps({"dropped": dropped, "rounds": args.rounds, "steps": args.steps, "words": words}))


SEARCHED = ["--max-tokens", 256, "--num-batches", 128]
"""A part of the valid split: a race of the 12,870 ways to keep 8 of 16 layers on all of it takes most of an hour."""


def layers_run(args: argparse.Namespace, name: str) -> float:
    """How many layers an update runs on average: in a few, chance would move the time by more than is compared."""
    if name == "no layers":
        return 0.0
    if name == "depths":
        from layerdrop_plugin.depths import parse

        return sum(depth.share * len(depth.kept["decoder"]) for depth in parse(args.depths, {"decoder": args.layers}))
    return args.layers * (1 - args.rate) if "layers" in name.split("+") else args.layers


def job(args: argparse.Namespace, side: str, *argv: str) -> list[object]:
    arch = {"ours": "layerdrop_transformer_lm_gpt", "stock": "transformer_lm_gpt"}[side]
    return [side, "run", "fairseq-train", args.out / "bin", "--task", "language_modeling", "--arch", arch,
            "--decoder-layers", args.layers, *args.training.split(), *argv, "--no-save", "--disable-validation",
            "--save-dir", args.out / "speed", "--max-update", 1000000, "--total-num-update", 1000000,
            "--no-progress-bar", "--log-interval", 100]  # fmt: skip


def report(args: argparse.Namespace) -> None:
    sweeps = swept(args.models)
    found = {name: read(args.out / f"{name}.json") for name in (*sweeps, "speed", "rates", "test", "search")}
    check(args, found)
    at, speed = tables.perplexities([row for file in sweeps for row in found[file]["rows"]]), found["speed"]
    words, dropped = (speed["words"], speed["dropped"]) if speed else ({}, {})
    where = f"Perplexity of a piece on {found['depths']['split']} ({found['depths']['tokens']:,} tokens)"
    print(head("Kinds of structured dropout", args.command))
    print(tables.kinds_table(at, words, dropped, args.half))
    at_depths = f"; depths: at each depth ({args.depths}), with no rate" if "depths" in at else ""
    print(f"{args.about}. {where}, pruned by every_other. Each kind at p = {args.rate:g}{at_depths}.{turns(speed)}\n")
    print(head("Layer-drop rates over depth", args.command))
    print(tables.rates_table(at, args.rate, args.depths, args.layers))
    own = "; a model for each depth has so many layers from the start" if len(sweeps) > 1 else ""
    print(f"{where}, pruned by every_other{own}.\n")
    if "learned" in args.models:
        print(head("Which layers to keep", args.command))
        print(tables.selection_table(found["search"], found["test"]["rows"]))
        searched = f"{found['search']['predictions']:,} tokens of valid"
        rates = found["rates"][0]["stacks"]["decoder"]["learned_rates"]
        print(f"Searched on {searched}. Learned rates, by layer: {' '.join(f'{rate:.3f}' for rate in rates)}.\n")
    plot(at, args)


def check(args: argparse.Namespace, found: Mapping[str, Any]) -> None:
    if "none" not in args.models:
        sys.exit("structured_dropout.py: MODELS must have none, which the others are compared with.")
    for name, models in swept(args.models).items():
        file = args.out / f"{name}.json"
        if found[name] is None:
            sys.exit(f"structured_dropout.py: {file} must be there; stage evaluate makes it.")
        if set(found[name]["checkpoints"]) != set(models):
            known = " ".join(found[name]["checkpoints"])
            sys.exit(f"structured_dropout.py: {file} must be of MODELS, but is of {known}; remove it to make it anew.")


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def turns(speed: Any) -> str:
    """What there is to say about the speeds."""
    if speed is None:
        return ""
    off = ratio(speed["words"]["none"], speed["words"]["stock"])
    return (
        f" Speed: {speed['rounds']} rounds of {speed['steps']} updates of each, turn and turn about; ideal: what is "
        f"dropped costs nothing, but heads are computed all the same. Options off: {off} times stock fairseq's speed."
    )


def plot(at: tables.At, args: argparse.Namespace) -> None:
    file = args.out / "structured_dropout.png"
    if importlib.util.find_spec("matplotlib") is None:
        say(f"{file.name} needs matplotlib: pip install matplotlib")
        return
    tables.draw(at, args, file)
    say(f"plot: {file}")


if __name__ == "__main__":
    main()
