"""Change a command line that works: arguments removed, doubled, exchanged; other options, other values."""

from __future__ import annotations

import random

from . import values

EVALUATION = (  # of fairseq's, which layerdrop-search and layerdrop-sweep take too
    *("--max-tokens", "--batch-size", "--beam", "--gen-subset", "--seed", "--tokens-per-sample", "--source-lang"),
    *("--target-lang", "--context-window", "--task", "--criterion", "--lenpen", "--max-len-b", "--remove-bpe"),
    *("--required-batch-size-multiple", "--skip-invalid-size-inputs-valid-test", "--nbest", "--sampling", "--path"),
    *("--model-overrides", "--data-buffer-size", "--fp16", "--num-shards", "--results-path", "--checkpoint-suffix"),
)
TRAINING = (
    *("--encoder-layerdrop", "--decoder-layerdrop", "--encoder-layers-to-keep", "--decoder-layers-to-keep"),
    *("--encoder-headdrop", "--decoder-ffndrop", "--decoder-sublayerdrop", "--encoder-layerdrop-learned"),
    *("--layerdrop-warmup-updates", "--layerdrop-cooldown-updates", "--arch", "--task", "--max-tokens", "--save-dir"),
    *("--restore-file", "--finetune-from-model", "--encoder-layers", "--decoder-layers", "--max-update", "--seed"),
    *("--encoder-attention-heads", "--decoder-embed-dim", "--lr", "--batch-size", "--valid-subset", "--store-ema"),
    *("--criterion", "--optimizer", "--reset-optimizer", "--update-freq", "--no-save", "--tensorboard-logdir"),
)
FILES = ("--json", "--csv", "--force")
OPTIONS: dict[str, tuple[str, ...]] = {
    "layerdrop-average": (
        *("--inputs", "--output", "--num-epoch-checkpoints", "--num-update-checkpoints", "--checkpoint-upper-bound"),
        "--force",
    ),
    "layerdrop-describe": FILES,
    "layerdrop-prune": ("--output", "-o", "--encoder", "--decoder", "--stock", "--dtype", "--keep-optimizer", *FILES),
    "layerdrop-search": (
        *("--keep", "--stack", "--strategy", "--metric", "--num-batches", "--report-subset", "--bleu", "--state"),
        *("--resume", "--speedup", "--latency", "--params", "--size", "--max-loss-increase", "--dry-run", "--plot"),
        *("--wide", *FILES, *EVALUATION),
    ),
    "layerdrop-sweep": (
        *("--compare", "--labels", "--depths", "--strategies", "--stack", "--bleu", "--num-batches", "--repeats"),
        *("--plot", "--importance", "--samples", "--sets", "--search", "--wide", *FILES, *EVALUATION),
    ),
    "layerdrop-export": (
        *("--to", "--encoder", "--decoder", "--data", "--source-lang", "--target-lang", "--quantization", "--head"),
        "--force",
    ),
    "fairseq-train": TRAINING,
    "fairseq-hydra-train": (),
    **dict.fromkeys(("fairseq-generate", "fairseq-interactive", "fairseq-eval-lm", "fairseq-validate"), EVALUATION),
}
"""By command, those that are added. None starts other processes or reaches a network."""

KEPT = ("--num-workers", "--user-dir", "--cpu", "hydra.run.dir", "common.")
"""Beginnings of arguments that stay, with what follows: any number of workers may be asked for."""


def mutate(command: str, argv: list[str], draw: random.Random) -> tuple[list[str], str]:
    """Return changed arguments, and what was changed."""
    argv = list(argv)
    told = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        argv, about = draw.choice([_value, _value, _value, _remove, _double, _swap, _add, _add, _glue])(
            command, argv, draw
        )
        told.append(about)
    return argv, "; ".join(told)


Changed = tuple[list[str], str]


def _place(argv: list[str], draw: random.Random) -> int:
    """Return the number of a word that may be changed, or how many there are."""
    free = [i for i, word in enumerate(argv) if not word.startswith(KEPT) and not (i and argv[i - 1] in KEPT)]
    return draw.choice(free) if free else len(argv)


def _value(command: str, argv: list[str], draw: random.Random) -> Changed:
    i = _place(argv, draw)
    new = values.word(draw)
    if command == "fairseq-hydra-train" and "=" in (argv[i:] or [""])[0]:
        new = argv[i].split("=")[0] + "=" + new
    return [*argv[:i], new, *argv[i + 1 :]], f"{new[:60]!r} for {' '.join(argv[i : i + 1])}"


def _remove(command: str, argv: list[str], draw: random.Random) -> Changed:
    i = _place(argv, draw)
    count = draw.choice([1, 1, 2])
    if any(word.startswith(KEPT) for word in argv[i : i + count]):
        count = 1
    return argv[:i] + argv[i + count :], f"without {' '.join(argv[i : i + count])}"


def _double(command: str, argv: list[str], draw: random.Random) -> Changed:
    i, j = _place(argv, draw), _place(argv, draw)
    return argv[:j] + argv[i : i + 1] + argv[j:], f"{' '.join(argv[i : i + 1])} twice"


def _swap(command: str, argv: list[str], draw: random.Random) -> Changed:
    i, j = _place(argv, draw), _place(argv, draw)
    if max(i, j) < len(argv):
        argv[i], argv[j] = argv[j], argv[i]
    return argv, f"arguments {i} and {j} exchanged"


def _add(command: str, argv: list[str], draw: random.Random) -> Changed:
    if not OPTIONS[command]:
        more = [draw.choice(["", "+", "++", "~"]) + "model.decoder_layers_to_keep=" + values.word(draw)]
    else:
        more = [draw.choice(OPTIONS[command])]
        more += [values.word(draw) for _ in range(draw.choice([0, 1, 1, 1, 1, 2]))]
    i = _place(argv, draw) if draw.random() < 0.3 else len(argv)
    return argv[:i] + more + argv[i:], f"with {' '.join(more)[:80]}"


def _glue(command: str, argv: list[str], draw: random.Random) -> Changed:
    options = [i for i, word in enumerate(argv[:-1]) if word.startswith("--") and not word.startswith(KEPT)]
    if not options:
        return argv, "nothing"
    i = draw.choice(options)
    new = draw.choice([f"{argv[i]}={argv[i + 1]}", f"{argv[i]}={values.word(draw)}", f"{argv[i]}=", argv[i][:-2]])
    return [*argv[:i], new, *argv[i + 2 :]], f"{new[:60]!r}"
