"""States that no fairseq wrote: how each is made of a good one, and what the one line says of its file.

Adding a case is adding a row. Functions change a state in place, that of a translation of four layers a stack.
"""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict

import torch
from shared.versions import FAIRSEQ_FIXED

N = 10**9


def put(*path):
    """Return a function that puts the last of `path` into the state, at the place that the others name."""

    def damage(state):
        *where, last, value = path
        for name in where:
            state = getattr(state, name) if isinstance(state, Namespace) else state[name]
        setattr(state, last, value) if isinstance(state, Namespace) else state.__setitem__(last, value)

    return damage


def drop(*path):
    """Return a function that takes what `path` leads to out of the state."""

    def damage(state):
        *where, last = path
        for name in where:
            state = state[name]
        del state[last]

    return damage


def weight(change):
    """Return a function that puts what `change` makes of it in the place of a weight."""

    def damage(state):
        state["model"][W] = change(state["model"][W])

    return damage


def circle(state):
    state["extra_state"]["x"] = [state["extra_state"]]


def circle_in_the_options(state):
    state["cfg"]["task"]["x"] = {"y": state["cfg"]["task"]}


def circle_in_metadata(state):
    weights = OrderedDict(state["model"])
    weights._metadata = [weights]
    state["model"] = weights


def nested(state):
    for _ in range(600):
        state["extra_state"] = {"x": state["extra_state"]}


def often(times):
    """2 ** `times` values in so many lists."""
    value = [1.0]
    for _ in range(times):
        value = [value, value]
    return value


def lookups(make, options=40):
    """Return a function that has each of some options refer to the one before, as `make` does with a reference."""

    def damage(state):
        for i in range(options):
            state["cfg"]["task"][f"x{i}"] = make(f"${{task.x{i - 1}}}") if i else "x"

    return damage


def gap(state):
    for name in [name for name in state["model"] if name.startswith("decoder.layers.1.")]:
        del state["model"][name]


def no_options(state):
    del state["args"], state["cfg"]


def as_args(state):
    state["args"] = state.pop("cfg")["model"]


def views(state):
    """A hundred tensors over the numbers of one."""
    weight = torch.ones(2**16)
    state["extra_state"]["x"] = [weight[:] for _ in range(100)]


W = "decoder.layers.1.fc1.weight"
VECTOR = torch.tensor([1.0, 2.0])
ORIGIN = {"depth": 6, "kept": [0, 1, 2, 3], "last": {"depth": 6, "kept": [0, 1, 2, 3]}}
PRUNED = "has a dict as `layerdrop`, which must say what was pruned"

STATES = (
    ("no weights", drop("model"), "lacks the entries `model` and `cfg` or `args`"),
    ("empty weights", put("model", {}), "has no weights in `model`"),
    ("weights of None", put("model", None), "has no weights in `model`"),
    ("a list of weights", put("model", [VECTOR]), "has a list as `model`, which must be a dict"),
    ("a number as weights", put("model", 1), "has 1 as `model`, which must be a dict"),
    ("a weight of None", weight(lambda w: None), f"has a NoneType as `model.{W}`, which must be a tensor"),
    ("a weight as list", weight(torch.Tensor.tolist), f"has a list as `model.{W}`, which must be a tensor"),
    ("a huge weight", weight(lambda w: VECTOR[:1].expand(N, N)), f"has a tensor of shape [{N}, {N}], which is larger"),
    ("a number as name", put("model", 0, VECTOR), "has the name 0 in model, where names must be text"),
    ("a gap of layers", gap, "has decoder layers 0,2,3, which must be numbered from 0 without a gap"),
    ("no options", no_options, "lacks the entries `model` and `cfg` or `args`"),
    ("options as list", put("cfg", [1]), "has a list as `cfg`, which must be a dict"),
    ("args as dict", put("args", {"arch": "x"}), "has a dict as `args`, which must be a Namespace"),
    ("args as text", put("args", "x"), "has 'x' as `args`, which must be a Namespace"),
    ("model as text", put("cfg", "model", "x"), "has 'x' as `cfg.model`, which must be a Namespace or a dict"),
    ("model as tensor", put("cfg", "model", VECTOR), "has a Tensor in `cfg`, which must be plain"),
    ("task as number", put("cfg", "task", 5), "has 5 as `cfg.task`, which must be a Namespace or a dict"),
    ("a task's name", put("cfg", "task", "_name", 5), "has 5 as `cfg.task._name`, which must be text"),
    ("an architecture", put("cfg", "model", "arch", ["x"]), "has a list as `cfg.model.arch`, which must be text"),
    ("a metric", put("cfg", "checkpoint", "best_checkpoint_metric", 1), "has 1 as `cfg.checkpoint.best_checkpoint_met"),
    ("a number as option", put("cfg", "task", 5, 6), "has the name 5 in cfg.task, where names must be text"),
    ("depth as text", put("cfg", "model", "decoder_layers", "4"), "has '4' as `cfg.model.decoder_layers`, which must"),
    ("depth as tensor", put("cfg", "model", "decoder_layers", VECTOR), "has a Tensor in `cfg`, which must be plain"),
    ("heads as text", put("cfg", "model", "encoder_attention_heads", "2"), "has '2' as `cfg.model.encoder_attention"),
    ("rate as tensor", put("cfg", "model", "encoder_layerdrop", VECTOR), "has a Tensor in `cfg`, which must be plain"),
    ("rate as dict", put("cfg", "model", "decoder_ffndrop", {}), "has a dict as `cfg.model.decoder_ffndrop`, which"),
    ("layers to keep", put("cfg", "model", "decoder_layers_to_keep", {"a": 1}), "has a dict as `cfg.model.decoder_lay"),
    ("environment", put("cfg", "task", "x", "${oc.env:HOME}"), "has '${oc.env:HOME}' in `cfg`, which must be plain"),
    ("environment in a Namespace", put("cfg", "model", "x", "${env:HOME}"), "has '${env:HOME}' in `cfg`, which must"),
    ("a lookup in a circle", put("cfg", "task", "x", "${task.x}"), "has an option in `cfg` that refers to no other"),
    (
        "a lookup of lookups in text",
        lookups(lambda other: other * 2),
        "has an option in `cfg` that refers to no other, or too often",
    ),
    ("a chain of lookups", lookups(str, 5000), "has an option in `cfg` that refers to no other"),
    (
        "a lookup of lookups in lists",
        lookups(lambda other: [other, other]),
        "has an option in `cfg` that refers to no other, or too often",
    ),
    ("history as dict", put("optimizer_history", {}), "has a dict as `optimizer_history`, which must be a list"),
    ("history of text", put("optimizer_history", ["x"]), "has 'x' as `optimizer_history[0]`, which must be a dict"),
    (
        "updates as tensor",
        put("optimizer_history", [{"num_updates": VECTOR}]),
        "has a Tensor as `optimizer_history[0].",
    ),
    ("updates as fraction", put("optimizer_history", [{"num_updates": 1.5}]), "has 1.5 as `optimizer_history[0].num_"),
    ("extra_state as list", put("extra_state", [1]), "has a list as `extra_state`, which must be a dict"),
    (
        "best as tensor",
        put("extra_state", "best", VECTOR),
        "has a Tensor as `extra_state.best`, which must be a number",
    ),
    ("best as text", put("extra_state", "best", "3"), "has '3' as `extra_state.best`, which must be a number"),
    ("best beyond floats", put("extra_state", "best", 10**400), "has 100000000000000000...0000000000000000000 as `ex"),
    (
        "iterator as list",
        put("extra_state", "train_iterator", [1]),
        "has a list as `extra_state.train_iterator`, which",
    ),
    ("epoch as text", put("extra_state", "train_iterator", "epoch", "1"), "has '1' as `extra_state.train_iterator.ep"),
    ("averages as list", put("extra_state", "ema", [1]), "has a list as `extra_state.ema`, which must be a dict"),
    ("averages of text", put("extra_state", "ema", {W: "x"}), f"has 'x' as `extra_state.ema.{W}`, which must be a ten"),
    ("optimizer as list", put("last_optimizer_state", [1]), "has a list as `last_optimizer_state`, which must be a"),
    ("group as text", put("last_optimizer_state", "param_groups", ["x"]), "has 'x' as `last_optimizer_state.param_gro"),
    ("provenance as list", put("layerdrop", [1]), "has a list as `layerdrop`, which must say what was pruned"),
    ("provenance of tensors", put("layerdrop", {"decoder": {**ORIGIN, "depth": VECTOR}}), PRUNED),
    ("provenance of text", put("layerdrop", {"decoder": {**ORIGIN, "kept": "0123"}}), PRUNED),
    ("provenance of no layers", put("layerdrop", {"decoder": {**ORIGIN, "kept": []}}), PRUNED),
    ("provenance of other layers", put("layerdrop", {"decoder": {**ORIGIN, "kept": [0, 1, 2, 9]}}), PRUNED),
    ("provenance of other stacks", put("layerdrop", {5: ORIGIN}), PRUNED),
    ("a circle", circle, "has a value that holds itself"),
    ("a circle in the options", circle_in_the_options, "has a value that holds itself"),
    ("a circle in metadata", circle_in_metadata, "has a value that holds itself"),
    ("nested deep", nested, "has values that lie in each other more than 100 deep"),
    (
        "tensors that multiply",
        views,
        f"has tensors of 26,312,{'008' if FAIRSEQ_FIXED else '016'} bytes, which is more than 16 times",
    ),
    ("options that multiply", put("cfg", "task", "x", often(16)), "has more than 50,000 values in `cfg`"),
    (
        "values that multiply",
        put("extra_state", "x", often(40)),
        "has values that hold each other more than 10,000,000 times or 100 deep",
    ),
)
"""What it is; what makes it of a good one; what the line says of the file."""


def without_history(state):
    for name in ("optimizer_history", "extra_state", "last_optimizer_state", "task_state"):
        del state[name]


def old_options(*path):
    """Return a function that puts the last of `path` into the options, which are those of before 2020."""

    def damage(state):
        as_args(state)
        put("args", *path)(state)

    return damage


NO_SUCH_OPTION = (
    "no such option",
    put("cfg", "task", "x", 1),
    "a checkpoint must be one of fairseq, but {} has options that fairseq can't take: "
    "Key 'x' not in 'TranslationConfig'",
)
"""fairseq-fixed leaves it out."""
FOR_MODELS = (
    ("no options at all", put("cfg", None), "a checkpoint must be one of fairseq, but {} lacks `cfg.model`."),
    ("no options of the model", drop("cfg", "model"), "a checkpoint must be one of fairseq, but {} lacks `cfg.model`."),
    ("no options of the task", drop("cfg", "task"), "a checkpoint must be one of fairseq, but {} lacks `cfg.task`."),
    *([] if FAIRSEQ_FIXED else [NO_SUCH_OPTION]),
    (
        "options that do not go together",
        put("cfg", "model", "encoder_attention_heads", 5),
        "a checkpoint must be one of fairseq, but {} has options that fairseq can't take: "
        "embed_dim must be divisible by num_heads",
    ),
    (
        "old options of other kinds",
        old_options("seed", "x"),
        "a checkpoint must be one of fairseq, but {} has options that fairseq can't take: malformed node or string",
    ),
    (
        "a missing weight",
        drop("model", W),
        f'the weights of {{}} must fit the model, but: Missing key(s) in state_dict: "{W}".',
    ),
    (
        "a weight of another shape",
        weight(torch.t),
        f"the weights of {{}} must fit the model, but: size mismatch for {W}: copying a param",
    ),
)
"""As `STATES`, for what can be read, but of which no model is made; the line begins with the words and the path."""
