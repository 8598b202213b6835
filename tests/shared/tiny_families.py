"""A tiny model of each of fairseq's families, built without data, with an input and the places of its layers."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any, Callable, NamedTuple

import torch
from fairseq.data import Dictionary
from fairseq.iterative_refinement_generator import IterativeRefinementGenerator
from fairseq.tasks import FairseqTask
from fairseq.tasks.multilingual_translation import MultilingualTranslationTask
from omegaconf import OmegaConf

TOKENS = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 2, 1]])  # the second is padded
LENGTHS = torch.tensor([5, 4])
TEXT = {
    **{"encoder_layers": 4, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 24, "encoder_attention_heads": 2},
    **{"decoder_layers": 4, "decoder_embed_dim": 16, "decoder_ffn_embed_dim": 24, "decoder_attention_heads": 2},
    **{"max_source_positions": 64, "max_target_positions": 64, "max_positions": 64, "dropout": 0.0},
}
LM = {
    **TEXT,
    "decoder_input_dim": 16,
    "decoder_output_dim": 16,
    "no_token_positional_embeddings": False,
    "share_decoder_input_output_embed": True,
}
ULM = {
    **{name: LM[name] for name in LM if name.startswith("decoder_")},
    **{"dropout": 0.0, "tokens_per_sample": 64, "max_target_positions": 64, "add_bos_token": False, "tpu": False},
}
FILTERS = {
    **{"conv_channels": 16, "input_feat_per_channel": 8, "input_channels": 1, "conv_kernel_sizes": "3"},
    **{"depthwise_conv_kernel_size": 3, "fp16": False, "conv_out_channels": 4},
}
UNITS = {
    **{"target_speaker_embed": False, "n_frames_per_step": 1},
    **{"data": str(Path(__file__).parent), "config_yaml": "tiny_families.yaml"},
}
SPECTROGRAM = {
    **{"output_frame_dim": 8, "prenet_dim": 8, "postnet_conv_dim": 8, "postnet_layers": 2, "n_frames_per_step": 1},
    **{"speaker_to_id": None, "encoder_conv_layers": 1, "prenet_dropout": 0.0, "decoder_transformer_layers": 4},
}
SPEECH = {**TEXT, **FILTERS, **UNITS}
VARIANCE = {
    **{"fft_hidden_dim": 16, "fft_kernel_size": 3, "var_pred_hidden_dim": 8, "var_pred_n_bins": 4},
    **{f"{of}_{end}": float(end == "max") for of in ("pitch", "energy") for end in ("min", "max")},
}
WAVE = {
    **{name: TEXT[name] for name in TEXT if name.startswith("encoder_")},
    **{"conv_feature_layers": "[(8, 10, 5), (8, 3, 2)]", "conv_pos": 16, "conv_pos_groups": 2, "final_dim": 8},
}
TRANSLATION = {"_name": "translation", "data": "."}
KERNELS = {"encoder_kernel_size_list": [3, 5, 7, 9], "decoder_kernel_size_list": [3, 5, 7, 9]}


STREAMS = {
    **{"discrete_duration": True, "discrete_f0": True},
    **{"ignore_duration_input": False, "ignore_f0_input": False},
}


class WordsTask(MultilingualTranslationTask):
    """A task of 24 words in every language, which needs no files."""

    def __init__(self) -> None:
        FairseqTask.__init__(self, OmegaConf.create({"sample_rate": 16_000, **STREAMS}))
        self.words = Dictionary()
        for number in range(20):
            self.words.add_symbol(f"w{number}")
        self.args = Namespace(target_is_code=True)
        self.multitask_tasks: dict[str, Any] = {}
        self.langs = ["en", "de", "fr"]
        self.dicts = dict.fromkeys(self.langs, self.words)
        self.model_lang_pairs = ["en-de", "fr-de"]
        self.dictionaries = [self.words]
        self.src_dict = self.source_duration_dictionary = self.source_f0_dictionary = self.words
        self.channel_names, self.channel_sizes = ["token", "duration", "f0"], [24, 24, 24]

    source_dictionary = target_dictionary = dictionary = output_dictionary = property(lambda task: task.words)
    build_model = FairseqTask.build_model

    def max_positions(self) -> int:
        return 64

    def get_speaker_embeddings(self, args: Any) -> None:
        """There is one speaker."""


class OfSpectrograms(WordsTask):
    def __init__(self) -> None:
        super().__init__()
        self.args = Namespace(target_is_code=False)


def translate(model: Any) -> Any:
    return model(TOKENS, LENGTHS, TOKENS)


def predict(model: Any) -> Any:
    return model(TOKENS)


def refine(model: Any) -> Any:
    """Decode as `fairseq-generate --iter-decode-max-iter 3` does."""
    words = WordsTask().words
    decoder = IterativeRefinementGenerator(words, max_iter=3, retain_history=True)
    sample = {"net_input": {"src_tokens": TOKENS, "src_lengths": LENGTHS}}
    found = [hypothesis for (hypothesis,) in decoder.generate([model], sample)]
    inner = {"normalize": False, "prev_output_tokens": TOKENS, "encoder_out": model.encoder(TOKENS, LENGTHS)}
    names = ["forward_word_ins"] if hasattr(model.decoder, "forward_word_ins") else ["forward"]
    if type(model).__name__ == "LevenshteinTransformerModel":
        names += ["forward_mask_ins", "forward_word_del"]
    return found, [getattr(model.decoder, name)(**inner) for name in names]


def waves() -> torch.Tensor:
    """Two made-up tones, (2, 800)."""
    return torch.sin(torch.arange(800) * torch.tensor([[0.05], [0.11]]))


def filtered() -> torch.Tensor:
    """What filters make of two tones, (2, 20, 8)."""
    return torch.sin(torch.arange(160).view(1, 20, 8) * torch.tensor([0.3, 0.7]).view(2, 1, 1))


def transcribe(model: Any) -> Any:
    return model(src_tokens=filtered(), src_lengths=torch.tensor([20, 16]), prev_output_tokens=TOKENS)


def to_spectrogram(model: Any) -> Any:
    lengths = torch.tensor([20, 16])
    return model(filtered(), lengths, filtered(), target_lengths=lengths)


def speak(model: Any) -> Any:
    return model(TOKENS, LENGTHS, filtered(), target_lengths=torch.tensor([20, 16]))


def speak_at_once(model: Any) -> Any:
    return model(TOKENS, LENGTHS, durations=torch.tensor([[2, 3, 1, 2, 1], [1, 1, 2, 3, 0]]))


def listen(model: Any) -> Any:
    return model.extract_features(waves(), padding_mask=None, mask=False)


def listen_and_spell(model: Any) -> Any:
    return model(source=waves(), padding_mask=torch.zeros(2, 800, dtype=torch.bool))


def listen_and_write(model: Any) -> Any:
    return model(source=waves(), padding_mask=torch.zeros(2, 800, dtype=torch.bool), prev_output_tokens=TOKENS)


class Tiny(NamedTuple):
    """A tiny model: its architecture and options, what runs it, and its lists of layers by stack."""

    arch: str
    options: dict[str, Any]
    run: Callable[[Any], Any]
    layers: dict[str, tuple[str, ...]]
    task: Callable[[], Any] = WordsTask


BOTH = {"encoder": ("encoder.layers",), "decoder": ("decoder.layers",)}
DECODER = {"decoder": ("decoder.layers",)}
ROBERTA = {"encoder": ("encoder.sentence_encoder.layers",)}
FILTERED = {"encoder": ("encoder.transformer_layers",), "decoder": ("decoder.layers",)}
CONFORMED = {"encoder": ("encoder.conformer_layers",), "decoder": ("decoder.layers",)}
PAIRS = {stack: tuple(f"models.{pair}.{stack}.layers" for pair in ("en-de", "fr-de")) for stack in BOTH}
TINY: dict[str, Tiny] = {
    "transformer": Tiny("transformer_tiny", TEXT, translate, BOTH),
    "bart": Tiny("bart_base", {**TEXT, "task": "denoising"}, translate, BOTH),
    "transformer_align": Tiny("transformer_align", {**TEXT, "alignment_layer": 3}, translate, BOTH),
    "multilingual_transformer": Tiny(
        "multilingual_transformer", TEXT, lambda model: [translate(part) for part in model.models.values()], PAIRS
    ),
    "nonautoregressive_transformer": Tiny("nonautoregressive_transformer", TEXT, refine, BOTH),
    "cmlm_transformer": Tiny("cmlm_transformer", TEXT, refine, BOTH),
    "iterative_nonautoregressive_transformer": Tiny("iterative_nonautoregressive_transformer", TEXT, refine, BOTH),
    "insertion_transformer": Tiny("insertion_transformer", TEXT, refine, BOTH),
    "levenshtein_transformer": Tiny("levenshtein_transformer", {**TEXT, "early_exit": "4,3,4"}, refine, BOTH),
    "levenshtein_transformer, own layers": Tiny(
        "levenshtein_transformer",
        {**TEXT, "early_exit": "2,1,4", "no_share_discriminator": True, "no_share_maskpredictor": True},
        refine,
        BOTH,
    ),
    "nacrf_transformer": Tiny("nacrf_transformer", {**TEXT, "crf_beam_approx": 4}, refine, BOTH),
    "lightconv": Tiny("lightconv", {**TEXT, **KERNELS}, translate, BOTH),
    "lightconv_lm": Tiny("lightconv_lm", {**LM, **KERNELS}, predict, DECODER),
    "transformer_lm": Tiny("transformer_lm_gpt", LM, predict, DECODER),
    "transformer_ulm": Tiny("transformer_ulm", ULM, lambda model: model(TOKENS, TOKENS, TOKENS), DECODER),
    "roberta": Tiny("roberta", TEXT, predict, ROBERTA),
    "masked_lm": Tiny("masked_lm", TEXT, lambda model: model(TOKENS, segment_labels=TOKENS * 0), ROBERTA),
    "xmod": Tiny(
        "xmod_base",
        {**TEXT, "languages": ["en", "de"]},
        lambda model: model(TOKENS, lang_id=["en", "de"]),
        ROBERTA,
    ),
    "s2t_transformer": Tiny("s2t_transformer", SPEECH, transcribe, FILTERED),
    "s2t_conformer": Tiny("s2t_conformer", SPEECH, transcribe, CONFORMED),
    "convtransformer": Tiny("convtransformer", SPEECH, transcribe, FILTERED),
    "s2ut_transformer": Tiny("s2ut_transformer", SPEECH, transcribe, FILTERED),
    "s2ut_conformer": Tiny("s2ut_conformer", SPEECH, transcribe, CONFORMED),
    "s2spect_transformer": Tiny(
        "s2spect_transformer",
        {**SPEECH, **SPECTROGRAM},
        to_spectrogram,
        {"encoder": ("encoder.transformer_layers",), "decoder": ("decoder.transformer_layers",)},
        OfSpectrograms,
    ),
    "tts_transformer": Tiny(
        "tts_transformer",
        {**SPEECH, **SPECTROGRAM, "encoder_transformer_layers": 4},
        speak,
        {"encoder": ("encoder.transformer_layers",), "decoder": ("decoder.transformer_layers",)},
    ),
    "fastspeech2": Tiny(
        "fastspeech2",
        {**SPEECH, **SPECTROGRAM, **VARIANCE},
        speak_at_once,
        {"encoder": ("encoder.encoder_fft_layers",), "decoder": ("encoder.decoder_fft_layers",)},
    ),
    "wav2vec2": Tiny(
        "wav2vec2", {**WAVE, "quantize_targets": True, "latent_vars": 4}, listen, {"encoder": ("encoder.layers",)}
    ),
    "hubert": Tiny("hubert", {**WAVE, "label_rate": 100.0}, listen, {"encoder": ("encoder.layers",)}),
}
