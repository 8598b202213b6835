"""The pretrained model that a fine-tuning is made of (`--w2v-path`): its depth, and what becomes of it as it is read.

fairseq builds it of its own saved options. They are made those of fairseq's own model, since what is dropped while it
is fine-tuned is for the options of the fine-tuning to say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import OmegaConf

from ... import learned_rates, rates
from ..checkpoints import at_load, pruning
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.provenance import Pruned
from ..modeling.architectures import PREFIX
from ..options.config import ModelConfig, get, has, put
from ..options.declared import KEEP, OPTIONS
from ..options.family import architecture, is_ours, name_in
from ..options.model_options import ModelOptions
from ..reading import reader

OPTION = "--w2v-path"


def read(cfg: ModelConfig) -> Checkpoint | None:
    """Return the checkpoint of the pretrained model; None where none is read, as the options of the model have it.

    Raises:
        ValueError: one line: it can't be read, or is of another kind.
    """
    if not has(cfg, "w2v_args") or get(cfg, "w2v_args") is not None:
        return None
    path = get(cfg, "w2v_path")
    if path is None:
        raise ValueError(f"`{OPTION}` must name the checkpoint of a pretrained model, but is missing.")
    checkpoint = Checkpoint.of(reader.read(path, OPTION))
    if "decoder" in checkpoint.depths or any(has(options, "w2v_path") for options in checkpoint.configurations):
        raise ValueError(
            f"`{OPTION}` must be the checkpoint of a pretrained model, such as wav2vec2 or hubert, but {path} is of "
            f"{checkpoint.architecture}."
        )
    return checkpoint


@contextlib.contextmanager
def pruned(cfg: ModelConfig, plan: Mapping[str, Pruned], source: Checkpoint | None) -> Iterator[None]:
    """Let fairseq read the pretrained model in this context: pruned as planned, under the name of fairseq's model.

    Its options are noted among those of the fine-tuning, in place; fairseq may do so in a copy.

    Args:
        source: what `read` returned; nothing is done where that is None.
    """
    if source is None:
        yield
        return

    def prepare(checkpoint: Checkpoint, path: str) -> Checkpoint:
        plain = checkpoint.with_weights(learned_rates.without).with_options(_as_fairseqs)
        prepared = pruning.keeping(plain, plan) if plan else plain
        put(cfg, "w2v_args", prepared.cfg)
        OmegaConf.set_struct(cfg.w2v_args, False)  # a task may set them once more, which omegaconf 2.0 refuses else
        return prepared

    with at_load.prepared_by(prepare, get(cfg, "w2v_path"), OPTION):
        yield


def _as_fairseqs(cfg: ModelConfig) -> dict[str, Any]:
    """Return the options that must change to be those of fairseq's own model of the same layers.

    A user's model that inherits from ours stays one, with our options off.
    """
    names = {key: str(get(cfg, key)) for key in ("_name", "arch") if get(cfg, key) is not None}
    fairseqs = {key: name[len(PREFIX) :] for key, name in names.items() if name.startswith(PREFIX)}
    ours = {option.name: option.kind.off for option in OPTIONS if has(cfg, option.name)}
    return {**ours, **fairseqs} if is_ours(architecture(cfg)) else {}


def changed_options(cfg: ModelConfig, small: ModelOptions) -> dict[str, Any]:
    """Return the options of a fine-tuning that must change as its pretrained model is pruned, which says the depth.

    Args:
        small: the options of what is left.
    """
    name = name_in(cfg, "encoder_layerdrop")
    by_layer = {name: rates.describe(small.stacks["encoder"].layerdrop)} if isinstance(get(cfg, name), str) else {}
    return {KEEP["encoder"]: None, **by_layer}
