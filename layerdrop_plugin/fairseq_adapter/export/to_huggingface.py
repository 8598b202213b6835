"""Export RoBERTa, BART, wav2vec 2.0 and HuBERT to Hugging Face's transformers, which build and write the model."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ... import atomic_folder
from ...layer_spec import LayerSpec
from ..checkpoints import at_load
from ..checkpoints.provenance import Pruned
from . import MARKS, expressible, huggingface_bart, huggingface_names, huggingface_speech, label_names, source
from .huggingface_names import MASKED_LM
from .source import Source

TARGET = "Hugging Face's RoBERTa"
BART = "Hugging Face's BART"
KINDS = {True: "RobertaForMaskedLM", False: "RobertaForSequenceClassification"}
GENERATION = "BartForConditionalGeneration"


class Exported(NamedTuple):
    """The class of transformers that the folder is for, the head in it, if any, and what was pruned."""

    kind: str
    head: str | None
    kept: dict[str, Pruned]


def export(
    path: str,
    out: str,
    specs: Mapping[str, LayerSpec],
    head: str | None = None,
    force: bool = False,
    data: str | None = None,
) -> Exported:
    """Write a folder that `AutoModel...from_pretrained` loads.

    fairseq and transformers must be installed, and our models registered.

    Args:
        specs: layers to keep, by stack; empty keeps all.
        head: of a RoBERTa, the classification head to take over, or `MASKED_LM`; None takes the only classification
            head, the masked LM's where there is none.
        force: whether files of an earlier export in `out` may be replaced.
        data: the folder with the names of the head's classes; None takes the one that the model was trained on.

    Raises:
        ValueError: one line: Hugging Face can't express the model, there is no such head, or `out` can't be written.
    """
    atomic_folder.check_folder(out, force, MARKS)
    atomic_folder.check_apart(out, path, "CKPT")
    model = source.read(path, specs)
    with at_load.used(path):
        theirs, head = _checked(model, head, data)
    if data is not None and head not in _classification_heads(model):
        raise ValueError(f"`--data` must be left out: only a classification head has labels (got {data!r}).")
    with atomic_folder.write_folder(out, force, MARKS) as temporary:
        _save(theirs, temporary)
        if model.family in huggingface_speech.NAMES:
            huggingface_speech.extractor(model.options).save_pretrained(temporary)
    return Exported(type(theirs).__name__, head, model.kept)


def _checked(model: Source, head: str | None, data: str | None) -> tuple[Any, str | None]:
    """Return Hugging Face's model, which gives the same logits or hidden states, and the name of the head in it."""
    if model.family == "roberta":
        return _checked_roberta(model, head, data)
    if model.family == "bart":
        _check_no_head("BART", GENERATION, head)
        return _checked_bart(model), "lm_head"
    if model.family in huggingface_speech.NAMES:
        _check_no_head(model.family, f"{huggingface_speech.NAMES[model.family]}Model", head)
        return _checked_speech(model), None
    raise ValueError(f"`CKPT` must be a RoBERTa, BART, wav2vec2 or hubert for Hugging Face, but is a {model.family}.")


def _check_no_head(name: str, kind: str, head: str | None) -> None:
    if head is not None:
        raise ValueError(f"`--head` must be left out for {name}, which is exported as {kind}, but is {head!r}.")


def _checked_roberta(model: Source, wanted: str | None, data: str | None) -> tuple[Any, str]:
    head = _head(model, wanted)
    check(model, head)
    ours = _fairseqs(model)
    labels = None
    if head != MASKED_LM:
        labels = label_names.of(model.options, ours.classification_heads[head].out_proj.out_features, data)
    config, weights = huggingface_names.config(model.options, ours, head, labels), huggingface_names.weights(ours, head)
    theirs = _theirs("RobertaConfig", config, KINDS[head == MASKED_LM], weights)
    _check_equal(*_logits(ours, theirs, head), f"the logits of {TARGET}")
    return theirs, head


def _checked_bart(model: Source) -> Any:
    expressible.check(model.options, expressible.BART, BART)
    for one, other in (
        ("max_target_positions", "max_source_positions"),
        ("decoder_input_dim", "decoder_embed_dim"),
        ("decoder_output_dim", "decoder_embed_dim"),
    ):
        expressible.check_equal(model.options, one, other, BART)
    ours = _fairseqs(model)
    config, weights = huggingface_bart.config(model.options, ours), huggingface_bart.weights(ours)
    theirs = _theirs("BartConfig", config, GENERATION, weights)
    _check_equal(*_logits_of_bart(ours, theirs), f"the logits of {BART}")
    return theirs


def _checked_speech(model: Source) -> Any:
    name = huggingface_speech.NAMES[model.family]
    target = f"Hugging Face's {name}"
    expressible.check(model.options, expressible.SPEECH, target)
    ours = huggingface_speech.fairseqs(model)
    config, weights = huggingface_speech.config(model, ours), huggingface_speech.weights(ours)
    theirs = _theirs(f"{name}Config", config, f"{name}Model", weights)
    _check_equal(*huggingface_speech.hidden_states(ours, theirs), f"the hidden states of {target}")
    return theirs


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
    heads = [*_classification_heads(model), MASKED_LM]
    if wanted is None and len(heads) > 2:
        raise ValueError(f"`--head` must be given, as the checkpoint has several: {', '.join(heads)}.")
    if wanted is not None and wanted not in heads:
        raise ValueError(f"`--head` must be one that the checkpoint has, {' or '.join(heads)}, but is {wanted!r}.")
    return wanted or heads[0]


def _classification_heads(model: Source) -> list[str]:
    names = [name.split(".")[1] for name in model.checkpoint.weights if name.startswith("classification_heads.")]
    return list(dict.fromkeys(names))


def _fairseqs(model: Source) -> Any:
    """Return fairseq's model, which brings old checkpoints' names up to date and refuses weights that it lacks."""
    from fairseq.data import Dictionary
    from fairseq.models import build_model

    names = [name for name in model.checkpoint.weights if name.endswith("encoder.embed_tokens.weight")]
    usual = "encoder.embed_tokens.weight" if model.family == "bart" else "encoder.sentence_encoder.embed_tokens.weight"
    rows = len(source.weight(model, names[0] if names else usual))
    dictionary = Dictionary()
    for number in range(rows - len(dictionary)):
        dictionary.add_symbol(f"{number}")  # which words they are is of no matter
    rates = {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}
    options = Namespace(**{**vars(model.options), "load_checkpoint_heads": True, **rates})
    ours = build_model(options, SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary))
    with source.fitting():
        ours.load_state_dict(dict(model.checkpoint.weights))
    return ours.eval()


def _theirs(config_kind: str, config: dict[str, Any], kind: str, weights: dict[str, Tensor]) -> Any:
    import transformers

    if not transformers.is_torch_available():
        raise ValueError(
            f"`--to huggingface` needs transformers that work with torch {torch.__version__}, "
            f"but {transformers.__version__} do not; older ones may: pip install 'transformers<5'."
        )
    theirs = getattr(transformers, kind)(getattr(transformers, config_kind)(**config))
    lacking, unknown = theirs.load_state_dict(weights, strict=False)
    lacking = [name for name in lacking if not name.endswith("position_ids")]  # 0, 1, 2, ...; older versions save them
    if lacking or unknown:
        raise RuntimeError(f"transformers {transformers.__version__} want {lacking} and know no {unknown}")
    return theirs.eval()


def _made_up(embeddings: Any) -> Tensor:
    """Return two sentences, the second of which is padded."""
    rows, pad = embeddings.num_embeddings, embeddings.padding_idx
    return torch.tensor([[0, rows - 1, 4, 3, 2], [0, rows - 2, 2, pad, pad]])


@torch.no_grad()
def _logits(ours: Any, theirs: Any, head: str) -> tuple[Tensor, Tensor]:
    """Return the logits of both RoBERTas for made-up sentences, of words only."""
    embeddings = ours.encoder.sentence_encoder.embed_tokens
    tokens = _made_up(embeddings)
    words = tokens.ne(embeddings.padding_idx)
    before = ours(tokens, classification_head_name=None if head == MASKED_LM else head)[0]
    after = theirs(tokens, attention_mask=words.long()).logits
    return (before[words], after[words]) if head == MASKED_LM else (before, after)


@torch.no_grad()
def _logits_of_bart(ours: Any, theirs: Any) -> tuple[Tensor, Tensor]:
    """Return the logits of both BARTs for made-up sentences and targets."""
    tokens = _made_up(ours.encoder.embed_tokens)
    words = tokens.ne(ours.encoder.padding_idx)
    targets = torch.tensor([[2, 0, 4, len(ours.encoder.embed_tokens.weight) - 1], [2, 0, 3, 4]])
    before = ours(tokens, words.sum(1), targets)[0]
    return before, theirs(tokens, attention_mask=words.long(), decoder_input_ids=targets).logits


def _check_equal(before: Tensor, after: Tensor, what: str) -> None:
    """Refuse what differs: a version of transformers may come to compute something else."""
    difference = float((before - after).abs().max() / before.abs().max().clamp(min=1))
    if not difference < 1e-3:
        raise ValueError(f"`CKPT` can't be exported: {what} differ from fairseq's by {difference:.2g}.")


def _save(model: Any, folder: str) -> None:
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder, safe_serialization=True)
    except SafetensorError as error:  # a disk that is full, say
        raise OSError(str(error)) from None
