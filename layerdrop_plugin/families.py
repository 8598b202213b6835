"""Where fairseq's models keep their layers: one table, of names and options only.

Whatever counts, renumbers, prunes, describes or configures layers asks this table. The places of layers in the names of
parameters are the same for all families, so that `state_dict` need not know the model; which stacks may be pruned, and
which options change with them, goes by the model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple


class Stack(NamedTuple):
    """A stack of layers, as a family of models has it.

    Attributes:
        places: of its layers in the names of parameters; `*` is any one part of a name.
        depth: the options that may hold how many layers there are; the first that a configuration has counts. A dot
            leads into an option that holds options.
        words: the tables with a row for each word of its dictionary.
        lists: options that hold a value for each layer.
        number: the option that is the number of a layer.
        exits: the option that says after how many layers the model takes results out.
    """

    places: tuple[str, ...]
    depth: tuple[str, ...]
    words: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    number: str | None = None
    exits: str | None = None


class Family(NamedTuple):
    """Models that keep their layers alike.

    Attributes:
        models: their names in fairseq's registry.
        stacks: by name; none where nothing can be pruned.
        why_not: why nothing can be pruned, where there is more to say.
    """

    models: tuple[str, ...]
    stacks: Mapping[str, Stack]
    why_not: str = ""


ENCODER = Stack(("encoder.layers",), ("encoder_layers",), ("encoder.embed_tokens",), ("encoder_kernel_size_list",))
DECODER = Stack(
    ("decoder.layers",),
    ("decoder_layers",),
    ("decoder.embed_tokens",),
    ("decoder_kernel_size_list",),
    "alignment_layer",
)
ROBERTA = Stack(
    ("encoder.sentence_encoder.layers", "decoder.sentence_encoder.layers"),  # checkpoints before 2020 call it decoder
    ("encoder_layers",),
    ("encoder.sentence_encoder.embed_tokens", "decoder.sentence_encoder.embed_tokens"),
)
SPEECH = Stack(("encoder.transformer_layers",), ("encoder_layers",))
FINE_TUNED = ("w2v_args.model.encoder_layers", "w2v_args.encoder_layers")  # the latter in checkpoints before 2020

FAMILIES: tuple[Family, ...] = (
    Family(
        (
            *("transformer", "bart", "transformer_align", "lightconv", "model_parallel_transformer"),
            *("nonautoregressive_transformer", "nacrf_transformer", "iterative_nonautoregressive_transformer"),
            "cmlm_transformer",
        ),
        {"encoder": ENCODER, "decoder": DECODER},
    ),
    Family(
        ("levenshtein_transformer", "insertion_transformer"),
        {"encoder": ENCODER, "decoder": DECODER._replace(exits="early_exit")},
    ),
    Family(
        ("transformer_lm", "lightconv_lm", "transformer_ulm", "model_parallel_transformer_lm"), {"decoder": DECODER}
    ),
    Family(
        ("roberta", "xlmr", "camembert", "gottbert", "xmod", "masked_lm", "model_parallel_roberta"),
        {"encoder": ROBERTA},
    ),
    Family(
        ("multilingual_transformer",),
        {
            "encoder": Stack(("models.*.encoder.layers",), ("encoder_layers",), ("models.*.encoder.embed_tokens",)),
            "decoder": Stack(("models.*.decoder.layers",), ("decoder_layers",), ("models.*.decoder.embed_tokens",)),
        },
    ),
    Family(("wav2vec2", "hubert"), {"encoder": Stack(("encoder.layers",), ("encoder_layers",))}),
    Family(
        ("wav2vec_ctc", "hubert_ctc"),
        {"encoder": Stack(("w2v_encoder.w2v_model.encoder.layers",), FINE_TUNED, ("w2v_encoder.proj",))},
    ),
    Family(
        ("wav2vec_seq2seq",),
        {"encoder": Stack(("encoder.w2v_model.encoder.layers",), FINE_TUNED), "decoder": DECODER},
    ),
    Family(
        ("xm_transformer",),
        {"encoder": Stack(("encoder.w2v_encoder.w2v_model.encoder.layers",), FINE_TUNED), "decoder": DECODER},
    ),
    Family(("s2t_transformer", "convtransformer", "s2ut_transformer"), {"encoder": SPEECH, "decoder": DECODER}),
    Family(
        ("s2t_conformer", "s2ut_conformer"),
        {"encoder": Stack(("encoder.conformer_layers",), ("encoder_layers",)), "decoder": DECODER},
    ),
    Family(
        ("s2spect_transformer",),
        {"encoder": SPEECH, "decoder": Stack(("decoder.transformer_layers",), ("decoder_transformer_layers",))},
    ),
    Family(
        ("tts_transformer",),
        {
            "encoder": Stack(
                ("encoder.transformer_layers",), ("encoder_transformer_layers",), ("encoder.embed_tokens",)
            ),
            "decoder": Stack(("decoder.transformer_layers",), ("decoder_transformer_layers",)),
        },
    ),
    Family(
        ("fastspeech2",),
        {
            "encoder": Stack(("encoder.encoder_fft_layers",), ("encoder_layers",), ("encoder.embed_tokens",)),
            "decoder": Stack(("encoder.decoder_fft_layers",), ("decoder_layers",)),
        },
    ),
    Family(("transformer_from_pretrained_xlm",), {}, "its `pretrained_xlm_checkpoint` has them all"),
    Family(("roberta_enc_dec",), {}, "it has one depth for both stacks"),
    Family(("data2vec_text", "data2vec_audio"), {}, "they also stand in its teacher"),
    Family(("latent_transformer", "latent_multilingual_transformer"), {}, "it has learned which of them run"),
    Family(("head_selection_s2t_transformer",), {}, "what it has learned of their heads stands outside of them"),
    Family(
        ("fconv", "fconv_lm", "fconv_self_att", "lstm", "lstm_lm", "s2t_berard", "tacotron_2", "wav2vec"),
        {},
        "they are no transformer layers",
    ),
    Family(("hf_gpt2", "pipeline_parallel_transformer", "dummy_model"), {}),
)

PLAIN = Family(
    (),
    {
        "encoder": ENCODER._replace(places=ENCODER.places + ROBERTA.places, words=ENCODER.words + ROBERTA.words),
        "decoder": DECODER,
    },
)
"""Where a model that nobody knows may have its layers, if its configuration has as many."""

_BY_MODEL = {model: family for family in FAMILIES for model in family.models}


class Place(NamedTuple):
    """Where a parameter of a layer stands: `<prefix>.<number>.<name>`."""

    stack: str
    prefix: str
    number: int
    name: str


def of(model: str) -> Family | None:
    """Return the family of a model of fairseq's, or of our counterpart to it; None where the table has none.

    >>> of("layerdrop_transformer_lm").models[:2]
    ('transformer_lm', 'lightconv_lm')
    """
    return _BY_MODEL.get(model[len("layerdrop_") :] if model.startswith("layerdrop_") else model)


def _patterns(what: str) -> Iterator[tuple[str, str]]:
    """Yield each entry `what` of the table, `*` as what it stands for, with its stack."""
    for family in (*FAMILIES, PLAIN):
        for stack, row in family.stacks.items():
            for pattern in getattr(row, what):
                yield re.escape(pattern).replace(r"\*", "[^.]+"), stack


def _grouped(what: str) -> str:
    """Return an expression for the entries `what` of all families, with a group for each stack."""
    patterns = dict(_patterns(what))
    parts = ("|".join(p for p, of_stack in patterns.items() if of_stack == stack) for stack in ("encoder", "decoder"))
    return "(?:{})".format("|".join(f"({part})" for part in parts))


_LAYER = re.compile(_grouped("places") + r"\.([0-9]+)\.(.+)", re.DOTALL)
_WORDS = re.compile(_grouped("words") + r"\.(weight|embeddings\.[0-9]+\.0\.weight)")


def place_of(name: str) -> Place | None:
    """Return where a parameter stands in a stack's layers; None if it stands in none.

    Digits anywhere else, say `classification_heads.x.layers.1.weight`, are no layer of a stack.

    >>> place_of("models.en-de.decoder.layers.3.fc1.weight")
    Place(stack='decoder', prefix='models.en-de.decoder.layers', number=3, name='fc1.weight')
    >>> place_of("decoder.embed_tokens.weight")
    """
    match = _LAYER.fullmatch(name)
    if match is None:
        return None
    return Place("encoder" if match[1] else "decoder", match[1] or match[2], int(match[3]), match[4])


def words_of(name: str) -> tuple[str, str] | None:
    """Return the stack whose words have rows in this table of weights, and the table; None if it is none.

    >>> words_of("decoder.embed_tokens.embeddings.1.0.weight")
    ('decoder', 'decoder.embed_tokens')
    """
    match = _WORDS.fullmatch(name)
    return None if match is None else ("encoder" if match[1] else "decoder", match[1] or match[2])


def is_at(place: str, prefix: str) -> bool:
    """Return whether layers with this prefix stand at a place of the table.

    >>> is_at("models.*.encoder.layers", "models.en-de.encoder.layers")
    True
    """
    parts, wanted = prefix.split("."), place.split(".")
    return len(parts) == len(wanted) and all(w in ("*", part) for part, w in zip(parts, wanted))


def at_one_place(prefixes: Collection[str]) -> bool:
    """Return whether layers with these prefixes stand at one place of the table, which may have several of them.

    >>> at_one_place(["models.en-de.encoder.layers", "models.fr-de.encoder.layers"])
    True
    >>> at_one_place(["encoder.layers", "encoder.conformer_layers"])
    False
    """
    places = {place for family in FAMILIES for row in family.stacks.values() for place in row.places}
    return any(all(is_at(place, prefix) for prefix in prefixes) for place in places)
