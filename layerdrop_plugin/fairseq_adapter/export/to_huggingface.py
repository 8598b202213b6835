"""Export RoBERTa to Hugging Face's transformers, which build and write the model."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch

from ... import atomic_folder
from ...layer_spec import LayerSpec
from ..checkpoints.provenance import Pruned
from . import MARKS, expressible, huggingface_names, source
from .huggingface_names import MASKED_LM
from .source import Source

TARGET = "Hugging Face's RoBERTa"
KINDS = {True: "RobertaForMaskedLM", False: "RobertaForSequenceClassification"}


class Exported(NamedTuple):
    """The class of transformers that the folder is for, the head in it, and what was pruned."""

    kind: str
    head: str
    kept: dict[str, Pruned]


def export(
    path: str, out: str, specs: Mapping[str, LayerSpec], head: str | None = None, force: bool = False
) -> Exported:
    """Write a folder that `AutoModel...from_pretrained` loads.

    fairseq and transformers must be installed, and our models registered.

    Args:
        specs: layers to keep, by stack; empty keeps all.
        head: the classification head to take over, or `MASKED_LM`; None takes the only classification head, the
            masked LM's where there is none.
        force: whether files of an earlier export in `out` may be replaced.

    Raises:
        ValueError: one line: Hugging Face can't express the model, there is no such head, or `out` can't be written.
    """
    atomic_folder.check_folder(out, force, MARKS)
    atomic_folder.check_apart(out, path, "CKPT")
    model = source.read(path, specs)
    if model.family != "roberta":
        raise ValueError(f"`CKPT` must be a RoBERTa for Hugging Face, but is a {model.family}.")
    head = _head(model, head)
    check(model, head)
    ours = _fairseqs(model).eval()
    theirs = _theirs(model.options, ours, head).eval()
    _check_logits(ours, theirs, head)
    with atomic_folder.write_folder(out, force, MARKS) as temporary:
        _save(theirs, temporary)
    return Exported(type(theirs).__name__, head, model.kept)


def check(model: Source, head: str) -> None:
    """Refuse models that Hugging Face can't express.

    Raises:
        ValueError: one line with the option, what the target wants, and the value.
    """
    expressible.check(model.options, expressible.MASKED_LM if head == MASKED_LM else expressible.CLASSIFIER, TARGET)
    if head != MASKED_LM:
        inner, width = source.weight(model, f"classification_heads.{head}.dense.weight").shape
        if inner != width:
            raise ValueError(f"`--head` must be as wide inside as the model, {width}, for {TARGET}, but is {inner}.")


def _head(model: Source, wanted: str | None) -> str:
    names = [name.split(".")[1] for name in model.checkpoint.weights if name.startswith("classification_heads.")]
    heads = [*dict.fromkeys(names), MASKED_LM]
    if wanted is None and len(heads) > 2:
        raise ValueError(f"`--head` must be given, as the checkpoint has several: {', '.join(heads)}.")
    if wanted is not None and wanted not in heads:
        raise ValueError(f"`--head` must be one that the checkpoint has, {' or '.join(heads)}, but is {wanted!r}.")
    return wanted or heads[0]


def _fairseqs(model: Source) -> Any:
    """Return fairseq's model, which brings old checkpoints' names up to date and refuses weights that it lacks."""
    from fairseq.data import Dictionary
    from fairseq.models import build_model

    names = [name for name in model.checkpoint.weights if name.endswith("encoder.embed_tokens.weight")]
    rows = len(source.weight(model, names[0] if names else "encoder.sentence_encoder.embed_tokens.weight"))
    dictionary = Dictionary()
    for number in range(rows - len(dictionary)):
        dictionary.add_symbol(f"{number}")  # which words they are is of no matter
    options = Namespace(**{**vars(model.options), "load_checkpoint_heads": True, "encoder_layerdrop": 0.0})
    ours = build_model(options, SimpleNamespace(source_dictionary=dictionary))
    with source.fitting():
        ours.load_state_dict(dict(model.checkpoint.weights))
    return ours


def _theirs(options: Namespace, ours: Any, head: str) -> Any:
    import transformers

    if not transformers.is_torch_available():
        raise ValueError(
            f"`--to huggingface` needs transformers that work with torch {torch.__version__}, "
            f"but {transformers.__version__} do not; older ones may: pip install 'transformers<5'."
        )
    config = transformers.RobertaConfig(**huggingface_names.config(options, ours, head))
    theirs = getattr(transformers, KINDS[head == MASKED_LM])(config)
    lacking, unknown = theirs.load_state_dict(huggingface_names.weights(ours, head), strict=False)
    lacking = [name for name in lacking if not name.endswith("position_ids")]  # 0, 1, 2, ...; older versions save them
    if lacking or unknown:
        raise RuntimeError(f"transformers {transformers.__version__} want {lacking} and know no {unknown}")
    return theirs


@torch.no_grad()
def _check_logits(ours: Any, theirs: Any, head: str) -> None:
    """Run both models on two made-up sentences: a version of transformers may come to compute something else."""
    encoder = ours.encoder.sentence_encoder
    rows, pad = encoder.embed_tokens.num_embeddings, encoder.padding_idx
    tokens = torch.tensor([[0, rows - 1, 4, 3, 2], [0, rows - 2, 2, pad, pad]])
    before = ours(tokens, classification_head_name=None if head == MASKED_LM else head)[0]
    after = theirs(tokens, attention_mask=tokens.ne(pad).long()).logits
    if head == MASKED_LM:
        before, after = (logits[tokens.ne(pad)] for logits in (before, after))
    difference = float((before - after).abs().max() / before.abs().max().clamp(min=1))
    if not difference < 1e-3:
        raise ValueError(f"`CKPT` can't be exported: the logits of {TARGET} differ from fairseq's by {difference:.2g}.")


def _save(model: Any, folder: str) -> None:
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder, safe_serialization=True)
    except SafetensorError as error:  # a disk that is full, say
        raise OSError(str(error)) from None
