"""Export translation and language models to CTranslate2, whose own converter for fairseq does the work."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from ... import atomic, atomic_folder
from ...layer_spec import LayerSpec
from ..checkpoints import at_load
from ..checkpoints.provenance import Pruned
from . import MARKS, expressible, source
from .source import Source

TARGET = "CTranslate2"
MULTILINGUAL = "translation_multi_simple_epoch"
PAIRS = "multilingual_transformer"
"""It has an encoder and a decoder for each pair of languages, one pair of which is exported."""
TASKS = {
    **dict.fromkeys(("transformer", "bart", "transformer_align"), ("translation", MULTILINGUAL)),
    PAIRS: ("multilingual_translation",),
    "transformer_lm": ("language_modeling",),
}
"""The families that the converter knows and LayerDrop is made for, with the tasks that each may have."""

WORK = "layerdrop-export"
"""In the name of the folder with what the converter reads."""


def export(
    path: str,
    out: str,
    specs: Mapping[str, LayerSpec],
    data: str | None = None,
    languages: tuple[str | None, str | None] = (None, None),
    quantization: str | None = None,
    force: bool = False,
) -> dict[str, Pruned]:
    """Write a folder that `ctranslate2.Translator`, or `Generator`, loads; return what was pruned.

    fairseq and ctranslate2 must be installed, and our models registered.

    Args:
        specs: layers to keep, by stack; empty keeps all.
        data: the folder with the dictionaries; None takes the one that the model was trained on.
        languages: source and target, which name the dictionaries of a translation model; None takes what the
            checkpoint or the files in `data` say.
        quantization: one of CTranslate2's types of weights; None keeps float32.
        force: whether files of an earlier export in `out` may be replaced.

    Raises:
        ValueError: one line: CTranslate2 can't express the model, there are no dictionaries, or `out` can't be
            written.
    """
    atomic_folder.check_folder(out, force, MARKS)
    atomic_folder.check_apart(out, path, "CKPT")
    model = source.read(path, specs)
    check(model)
    folder = _data_folder(model.options, data)
    atomic_folder.check_apart(out, folder, "--data")
    if model.family == PAIRS:
        _set_pair(model, languages)
    elif model.family != "transformer_lm":
        _set_languages(model.options, languages, folder)
    _check_dictionaries(model, folder)
    with _work_folder() as work, atomic_folder.write_folder(out, force, MARKS) as temporary:
        checkpoint = os.path.join(work, "checkpoint.pt")
        with atomic.write_file(checkpoint, option="TMPDIR") as file:  # its errors are one line
            torch.save(replace(model.checkpoint, args=model.options, cfg=None).as_state(), file)
        with at_load.used(path):
            _convert(checkpoint, folder, temporary, quantization)
    return model.kept


def _work_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder, and remove those of exports that were killed."""
    atomic.remove_leftovers(tempfile.gettempdir(), WORK)
    return tempfile.TemporaryDirectory(prefix=f".{WORK}.", suffix=".tmp")


def check(model: Source) -> None:
    """Refuse models that CTranslate2 can't express.

    Raises:
        ValueError: one line with the option, what CTranslate2 wants, and the value.
    """
    if model.family not in TASKS:
        raise ValueError(f"`CKPT` must be a translation or language model for {TARGET}, but is a {model.family}.")
    options = model.options
    if options.task not in TASKS[model.family]:
        expressible.refuse("task", " or ".join(TASKS[model.family]), TARGET, options.task)
    if options.task == MULTILINGUAL:
        expressible.check(options, expressible.CTRANSLATE2_MULTILINGUAL, TARGET)
    if model.family == PAIRS:
        expressible.check(options, expressible.CTRANSLATE2_PAIRS, TARGET)
    if model.family == "transformer_lm":
        expressible.check(options, expressible.CTRANSLATE2_LANGUAGE_MODEL, TARGET)
        _check_projections(options)
        return
    expressible.check(options, expressible.CTRANSLATE2_TRANSLATION, TARGET)
    for one, other in (
        ("decoder_normalize_before", "encoder_normalize_before"),
        ("decoder_attention_heads", "encoder_attention_heads"),
        ("decoder_input_dim", "decoder_embed_dim"),
        ("decoder_output_dim", "decoder_embed_dim"),
    ):
        expressible.check_equal(options, one, other, TARGET)


def _check_projections(options: Namespace) -> None:
    """Refuse one projection, after the embeddings or before the output layer: the converter wants both or none."""
    width, first, last = options.decoder_embed_dim, options.decoder_input_dim, options.decoder_output_dim
    if (first == width) != (last == width):
        other = "" if first == width else "other than "
        expressible.refuse("decoder_output_dim", f"{other}{width}, as `--decoder-input-dim` is,", TARGET, last)


def _data_folder(options: Namespace, data: str | None) -> str:
    if data is not None:
        if os.pathsep in data:  # fairseq would split it there
            raise ValueError(f"`--data` must be one folder, with no {os.pathsep!r} in its name, but is {data!r}.")
        return data
    trained_on = (getattr(options, "data", None) or "").split(os.pathsep)[0]
    if not os.path.isdir(trained_on):
        raise ValueError(
            f"`--data` must be given, a folder with the dictionaries: {trained_on!r}, "
            "where the checkpoint was trained, does not exist here."
        )
    return trained_on


def _set_languages(options: Namespace, given: tuple[str | None, str | None], folder: str) -> None:
    """Set both languages, in place: fairseq leaves them out where it finds them by itself, too."""
    from fairseq.data.data_utils import infer_language_pair

    saved = (getattr(options, f"{side}_lang", None) for side in ("source", "target"))
    known = _named(given, saved, "the checkpoint says")
    if None in known and os.path.isdir(folder):
        known = _named(known, infer_language_pair(folder), f"the data in {folder} say")
    if None in known:
        raise ValueError(
            "`--source-lang` and `--target-lang` must be given: the checkpoint does not name them, "
            f"and {folder} has no data that do."
        )
    options.source_lang, options.target_lang = known


def _set_pair(model: Source, given: tuple[str | None, str | None]) -> None:
    """Set the pair of languages, in place, as the only one: of others, the dictionaries need not be there."""
    names = (name.split(".") for name in model.checkpoint.weights)  # models.en-de.encoder. ...
    pairs = dict.fromkeys(parts[1] for parts in names if parts[0] == "models")
    fitting = [pair for pair in pairs if all(one in (None, other) for one, other in zip(given, pair.split("-")))]
    if len(fitting) != 1:
        raise ValueError(
            f"`--source-lang` and `--target-lang` must name a pair of the model, {' or '.join(pairs)}, "
            f"but are {given[0]!r} and {given[1]!r}."
        )
    model.options.lang_pairs = fitting
    model.options.source_lang, model.options.target_lang = fitting[0].split("-")


def _named(given: Iterable[str | None], known_elsewhere: Iterable[str | None], who: str) -> list[str | None]:
    """Return the language that either source names.

    They must agree: with a wrong dictionary of the same size, all words would be wrong.
    """
    known = []
    for side, one, other in zip(("source", "target"), given, known_elsewhere):
        if one and other and one != other:
            raise ValueError(f"`--{side}-lang` must be {other!r}, as {who}, but is {one!r}.")
        known.append(one or other)
    return known


def _check_dictionaries(model: Source, folder: str) -> None:
    """Refuse a folder without dictionaries, or with those of another model.

    Raises:
        ValueError: one line that names the file.
    """
    from fairseq.data import Dictionary

    if model.options.task == MULTILINGUAL:
        _language_file(model.options, folder)
    within = f"models.{model.options.lang_pairs[0]}." if model.family == PAIRS else ""
    for stack, name in _dictionaries(model).items():
        file = os.path.join(folder, name)
        if not os.path.isfile(file):
            raise ValueError(f"`--data` must be a folder with {name}, but {folder} has none.")
        try:
            words = len(_with_languages(Dictionary.load(file), model.options, folder))
        except Exception as error:  # fairseq's are of no class of their own
            raise ValueError(f"`--data` must hold dictionaries, but {file} is not one: {error}.") from None
        rows = len(source.weight(model, f"{within}{stack}.embed_tokens.weight"))
        if words != rows:
            raise ValueError(
                f"`--data` must hold the dictionaries of the model, whose {stack} knows {rows} words, "
                f"but {file} has {words}."
            )


def _with_languages(dictionary: Any, options: Namespace, folder: str) -> Any:
    """Add, in place, what a multilingual task adds to its dictionary: a token for each language."""
    if options.task == MULTILINGUAL:
        from fairseq.data.multilingual.multilingual_data_manager import MultilingualDatasetManager
        from fairseq.data.multilingual.multilingual_utils import augment_dictionary

        languages = MultilingualDatasetManager.load_langs(
            Namespace(**{**vars(options), **_language_file(options, folder)})
        )
        more = {name: getattr(options, name) for name in ("lang_tok_style", "langtoks_specs", "extra_data")}
        augment_dictionary(dictionary=dictionary, language_list=languages, **more)
    return dictionary


def _language_file(options: Namespace, folder: str) -> dict[str, str]:
    """Return where the converter looks for the list of languages, if the model has one."""
    if not options.lang_dict:
        return {}
    name = os.path.basename(options.lang_dict)
    if not os.path.isfile(os.path.join(folder, name)):
        raise ValueError(f"`--data` must be a folder with {name}, but {folder} has none.")
    return {"lang_dict": os.path.join(folder, name)}


def _dictionaries(model: Source) -> dict[str, str]:
    """Return the file of each stack's dictionary."""
    if model.family == "transformer_lm":
        return {"decoder": "dict.txt"}
    return {"encoder": f"dict.{model.options.source_lang}.txt", "decoder": f"dict.{model.options.target_lang}.txt"}


def _convert(checkpoint: str, data: str, out: str, quantization: str | None) -> None:
    from ctranslate2.converters import FairseqConverter

    # ctranslate2 4.8 lets torch load nothing but tensors; torch 2.5 and older can't then read the Namespace beside them
    # ("Unsupported global: argparse.Namespace"). This file is ours, of what was read safely before.
    known = inspect.signature(FairseqConverter.__init__).parameters
    trust = {name: True for name in ("unsafe_deserialization",) if name in known}
    converter = FairseqConverter(checkpoint, data, **trust)
    with source.fitting(), contextlib.redirect_stdout(sys.stderr):  # fairseq prints as it renames old weights
        converter.convert(out, quantization=quantization, force=True)
