"""Change the content of a checkpoint: other values, names, shapes; entries gone, doubled, in circles."""

from __future__ import annotations

import argparse
import collections
import copy
import random
import re
from collections.abc import Iterator
from typing import Any, Callable

from . import values

State = dict[str, Any]
Place = tuple[Any, Any]
"""A container and the key or attribute of it."""

LAYER = re.compile(r"\.layers\.(\d+)\.")


def mutate(state: State, draw: random.Random) -> tuple[State, str]:
    """Return a changed copy of the state, which shares its tensors, and what was changed."""
    state = _copy(state)
    count = draw.choice([1, 1, 1, 1, 2, 3])
    return state, "; ".join(_one(state, draw) for _ in range(count))


def _one(state: State, draw: random.Random) -> str:
    change = draw.choices([act for act, _ in ACTS], [weight for _, weight in ACTS])[0]
    return change(state, draw)


def _copy(value: Any) -> Any:
    """Copy containers, whatever is in them, and leave tensors where they are."""
    if isinstance(value, collections.OrderedDict):
        return collections.OrderedDict((k, _copy(v)) for k, v in value.items())
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    if isinstance(value, argparse.Namespace):
        return argparse.Namespace(**_copy(vars(value)))
    if isinstance(value, list):
        return [_copy(v) for v in value]
    return copy.copy(value) if isinstance(value, (set, bytearray)) else value


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, argparse.Namespace):
        return list(vars(value))
    return list(range(len(value))) if isinstance(value, list) else []


def _get(container: Any, key: Any) -> Any:
    return getattr(container, key) if isinstance(container, argparse.Namespace) else container[key]


def _set(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, argparse.Namespace):
        vars(container)[str(key)] = value
    else:
        container[key] = value


def _delete(container: Any, key: Any) -> None:
    del (vars(container) if isinstance(container, argparse.Namespace) else container)[key]


def _walk(state: Any, draw: random.Random) -> tuple[Any, Any, str]:
    """Return a place: from the top down a random way, so that what is rare at the top is as likely as weights."""
    container, path, seen = state, [], 0
    while True:
        seen += 1
        keys = _children(container)
        key = draw.choices(keys, [SHARES.get(f"cfg.{key}", 1) if path == ["cfg"] else 1 for key in keys])[0]
        path.append(str(key)[:60])
        inner = _get(container, key)
        if seen > 8 or not _children(inner) or draw.random() < 0.25:
            return container, key, ".".join(path)
        container = inner


def _replace(state: State, draw: random.Random) -> str:
    container, key, path = _walk(state, draw)
    new = values.value(draw)
    _set(container, key, new)
    return f"{path} is {_shown(new)}"


def _remove(state: State, draw: random.Random) -> str:
    container, key, path = _walk(state, draw)
    if container is state and len(state) == 1:
        return "nothing"
    _delete(container, key)
    return f"{path} is gone"


def _rename(state: State, draw: random.Random) -> str:
    container, key, path = _walk(state, draw)
    old = _get(container, key)
    new = draw.choice([values.word(draw), f"{key}_", f"x.{key}", 5, None, str(key).upper(), 1.5, ("a", 1), True])
    _delete(container, key)
    if isinstance(container, list):
        container.append(old)
    else:
        _set(container, new, old)
    return f"{path} is called {_shown(new)}"


def _double(state: State, draw: random.Random) -> str:
    container, key, path = _walk(state, draw)
    other, name, where = _walk(state, draw)
    _set(other, name, _get(container, key))
    return f"{where} is {path}"  # the same object, perhaps in a circle


def _add(state: State, draw: random.Random) -> str:
    container, key, path = _walk(state, draw)
    inner = _get(container, key)
    target = inner if isinstance(inner, (dict, argparse.Namespace)) else state
    name = draw.choice([values.word(draw), "layerdrop", "args", "cfg", "model", "ema", "optimizer", 0, None, "_name"])
    new = values.value(draw)
    _set(target, name, new)
    return f"{path if target is inner else 'top'}.{_shown(name)} is added: {_shown(new)}"


def _weights(state: State) -> dict[Any, Any]:
    found = state.get("model")
    return found if isinstance(found, dict) else {}


def _gap(state: State, draw: random.Random) -> str:
    """Give a layer another number."""
    weights = _weights(state)
    layers = sorted({m[1] for m in (LAYER.search(str(name)) for name in weights) if m}, key=int)
    if not layers:
        return "nothing"
    old, new = (
        draw.choice(layers),
        draw.choice(["9", "4", "5", "1000000000", "-1", "00", "x", "1e3", "\u0663", "9" * 30]),
    )
    for name in [name for name in weights if f".layers.{old}." in str(name)]:
        if draw.random() < 0.95:
            weights[name.replace(f".layers.{old}.", f".layers.{new}.")] = weights.pop(name)
    return f"layer {old} is called {new}"


def _drop_layer(state: State, draw: random.Random) -> str:
    weights = _weights(state)
    parts = draw.choice([".layers.", ".layers.0.", ".layers.3.", "encoder.", "decoder.", "embed", "bias", "layer_norm"])
    for name in [name for name in weights if parts in str(name)]:
        del weights[name]
    return f"all weights with {parts} are gone"


def _weight(state: State, draw: random.Random) -> str:
    """Change one weight, its shape or type."""
    import torch

    weights = _weights(state)
    names = [name for name, value in weights.items() if isinstance(value, torch.Tensor) and value.numel() > 1]
    if not names:
        return "nothing"
    name = draw.choice(names)
    old = weights[name]
    makers: list[tuple[str, Callable[[], Any]]] = [
        ("half", lambda: old.half()),
        ("double", lambda: old.double()),
        ("int", lambda: old.int()),
        ("complex", lambda: old.to(torch.complex64)),
        ("transposed", lambda: old.t() if old.dim() == 2 else old.unsqueeze(0)),
        ("flat", lambda: old.flatten()),
        ("cut", lambda: old[:-1]),
        ("doubled", lambda: torch.cat([old, old])),
        ("nan", lambda: torch.full_like(old, float("nan"), dtype=torch.float32)),
        ("huge", lambda: torch.full_like(old, 1e38, dtype=torch.float32)),
        ("sparse", lambda: old.float().to_sparse()),
        ("scalar", lambda: old.flatten()[0]),
        ("empty", lambda: old[:0]),
        ("expanded", lambda: old.flatten()[:1].expand(10**9)),
        ("expanded to its shape", lambda: old.flatten()[:1].expand(old.shape)),
        ("list", lambda: old.flatten()[:5].tolist()),
        ("meta", lambda: torch.empty(old.shape, device="meta")),
        ("quantized", lambda: torch.quantize_per_tensor(old.float(), 0.1, 0, torch.qint8)),
        ("other", lambda: values.value(draw)),
    ]
    kind, make = draw.choice(makers)
    weights[name] = make()
    return f"model.{name} is {kind}"


OPTIONS = (  # of the model, on which code of ours and fairseq's depends
    *("encoder_layers", "decoder_layers", "encoder_layerdrop", "decoder_layerdrop", "encoder_layers_to_keep"),
    *("decoder_layers_to_keep", "_name", "arch", "encoder_attention_heads", "decoder_attention_heads", "data"),
    *("encoder_embed_dim", "decoder_embed_dim", "adaptive_softmax_cutoff", "alignment_layer", "max_target_positions"),
    *("encoder_headdrop", "decoder_ffndrop", "decoder_sublayerdrop", "decoder_layerdrop_learned", "dropout"),
    *("share_all_embeddings", "adaptive_input", "adaptive_input_cutoff", "tie_adaptive_weights", "source_lang"),
    *("layerdrop_warmup_updates", "activation_fn", "checkpoint_activations", "quant_noise_pq", "max_positions"),
)
FILES = (  # what a configuration might get written or read
    *("save_predictions", "results_path", "log_file", "tensorboard_logdir", "save_dir", "plasma_path", "user_dir"),
    *("encoder_embed_path", "decoder_embed_path", "eval_bleu_print_samples", "finetune_from_model", "bpe_codes"),
    *("sentencepiece_model", "lm_path", "path", "state_file", "criterion", "restore_file", "wandb_project"),
)


def _option(state: State, draw: random.Random) -> str:
    groups = list(_groups(state))
    if not groups:
        return "nothing"
    where, group = draw.choices(groups, [SHARES.get(where, 1) for where, _ in groups])[0]
    if draw.random() < 0.15:
        name, new = draw.choice(FILES), draw.choice(["canary/ran", "canary", "text.txt"])
    else:
        known = [*map(str, _children(group)), *(OPTIONS if where in ("args", "cfg.model") else ())]
        name = draw.choice(known or OPTIONS)
        new = draw.choice([values.word, values.number, values.word, values.number, values.value])(draw)
    _set(group, name, new)
    return f"{where}.{name} is {_shown(new)}"


SHARES = {"args": 20, "cfg.model": 20, "cfg.task": 10, "cfg.criterion": 5, "cfg.common": 2, "cfg.checkpoint": 2}
"""How often a group's options are changed; most others have no effect on what reads a checkpoint."""


def _groups(state: State) -> Iterator[tuple[str, Any]]:
    for key in ("args", "cfg"):
        top = state.get(key)
        if isinstance(top, argparse.Namespace):
            yield key, top
        if isinstance(top, dict):
            for name, group in top.items():
                if isinstance(group, (dict, argparse.Namespace)):
                    yield f"{key}.{name}", group


def _note(state: State, draw: random.Random) -> str:
    """Say of it that it was pruned, in ways that don't fit."""

    def part() -> Any:
        return draw.choice([4, [0, 2], [0], [], values.number(draw), values.value(draw), [3, 1], ["0"], [0, 0], (1, 2)])

    def step() -> Any:
        entry = {"depth": part(), "kept": part()}
        return entry if draw.random() < 0.8 else values.value(draw)

    entry: Any = step()
    if isinstance(entry, dict) and draw.random() < 0.9:
        entry["last"] = step()
    state["layerdrop"] = {draw.choice(["encoder", "decoder", "decoder", "x", 1]): entry}
    return f"layerdrop is {_shown(state['layerdrop'])}"


def _rates(state: State, draw: random.Random) -> str:
    """Change, or add, what learned drop rates are kept in."""
    weights = _weights(state)
    found = [name for name in weights if "learned" in str(name) or "rate" in str(name)]
    name = draw.choice(
        found or ["decoder.layers.0.learned_rate.rate", "encoder.layers.9.learned_rate.rate", "decoder.learned_rate"]
    )
    weights[name] = new = draw.choice([values.tensor, values.tensor, values.value])(draw)
    return f"model.{name} is {_shown(new)}"


ACTS: list[tuple[Callable[[State, random.Random], str], int]] = [
    (_replace, 5),
    (_remove, 4),
    (_rename, 2),
    (_double, 2),
    (_add, 2),
    (_gap, 2),
    (_drop_layer, 1),
    (_weight, 4),
    (_option, 8),
    (_note, 2),
    (_rates, 1),
]


def _shown(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.dtype} {tuple(value.shape)} {value.layout} {value.device}"
    try:
        text = repr(value)
    except RecursionError:
        text = "a circle"
    except Exception as error:
        text = f"{type(value).__name__} ({error})"
    return text if len(text) < 90 else f"{text[:60]} ... ({len(text)} characters)"
