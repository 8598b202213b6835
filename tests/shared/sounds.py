"""Data of speech tasks, made up: each of four letters is a tone. And the arguments of tiny trainings on it."""

from __future__ import annotations

import wave

import numpy as np
import pytest

LETTERS = "abcd"
SENTENCES = {"train": 24, "valid": 4}
RATE = 16000
SAMPLES = 400  # of a letter's tone

TRAINING = [
    *("--optimizer", "adam", "--lr", "0.001", "--max-tokens", "20000", "--cpu", "--seed", "1", "--num-workers", "0"),
    *("--no-progress-bar", "--log-format", "json", "--log-interval", "1", "--no-epoch-checkpoints"),
    *("--save-interval", "99", "--validate-interval", "99"),  # an epoch is few updates; at the end, both are done
]
SIZES = [
    *("--encoder-layers", "4", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24"),
    *("--encoder-attention-heads", "2"),
]
AUDIO = [
    *SIZES,
    *("--conv-feature-layers", "[(8,10,5),(8,3,2)]", "--conv-pos", "8", "--conv-pos-groups", "2", "--final-dim", "8"),
    *("--mask-prob", "0.3", "--mask-length", "3", "--max-sample-size", "3000"),
]
TO_TEXT = [
    *("--task", "speech_to_text", "--criterion", "label_smoothed_cross_entropy", *SIZES, "--decoder-layers", "4"),
    *("--decoder-ffn-embed-dim", "24", "--decoder-attention-heads", "2"),
]
OPTIONS = {
    "wav2vec2": [
        *("--task", "audio_pretraining", "--criterion", "wav2vec", "--infonce", "--loss-weights", "[0.1,10]"),
        *(*AUDIO, "--quantize-targets", "--latent-vars", "4", "--num-negatives", "4"),
    ],
    "hubert": [
        *("--task", "hubert_pretraining", "--criterion", "hubert", "--labels", '["km"]', "--label-rate", "1600"),
        *(*AUDIO, "--pad-audio", "--untie-final-proj", "--loss-weights", "[10]"),
    ],
    "wav2vec_ctc": [
        *("--task", "audio_finetuning", "--labels", "ltr", "--criterion", "ctc", "--disable-validation"),
    ],
    "hubert_ctc": [
        *("--task", "hubert_pretraining", "--fine-tuning", "--labels", '["ltr"]', "--single-target", "--label-rate"),
        *("-1", "--criterion", "ctc", "--disable-validation", "--max-sample-size", "9000"),
    ],
    "s2t_transformer": [*TO_TEXT, "--conv-channels", "8"],
    "s2t_conformer": [*TO_TEXT, "--conv-channels", "8"],
    "convtransformer": [*TO_TEXT, "--conv-out-channels", "2"],
}
"""Of tiny models; `--arch` and `--w2v-path` are left out."""


def _words():
    generator = np.random.RandomState(1)
    for split, count in SENTENCES.items():
        yield split, ["".join(generator.choice(list(LETTERS), 3 + i % 3)) for i in range(count)]


def _write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="session")
def tones(made_once):
    """A folder with sound files of a few tones each, their letters (`ltr`), and a label for each frame (`km`)."""

    def make(folder):
        frame = np.arange(SAMPLES) / RATE
        for split, words in _words():
            rows = [str(folder)]
            for i, word in enumerate(words):
                sound = np.concatenate([np.sin(2 * np.pi * (300 + 200 * LETTERS.index(c)) * frame) for c in word])
                with wave.open(str(folder / f"{i}_of_{split}.wav"), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(RATE)
                    file.writeframes((sound * 9999).astype("<i2").tobytes())
                rows.append(f"{i}_of_{split}.wav\t{len(sound)}")
            _write(folder / f"{split}.tsv", rows)
            _write(folder / f"{split}.ltr", [" ".join(word) for word in words])
            _write(folder / f"{split}.km", [" ".join(c for c in word for _ in range(SAMPLES // 10)) for word in words])
        for labels in ("ltr", "km"):
            _write(folder / f"dict.{labels}.txt", [f"{c} 9" for c in LETTERS])

    return made_once("tones", make)


@pytest.fixture(scope="session")
def features(made_once):
    """A folder for speech_to_text: made-up features of each letter, of which fairseq reads files without a package."""

    def make(folder):
        generator = np.random.RandomState(2)
        for split, words in _words():
            rows = ["id\taudio\tn_frames\ttgt_text"]
            for i, word in enumerate(words):
                sound = np.concatenate([np.eye(8)[LETTERS.index(c)] + generator.randn(8, 8) / 10 for c in word])
                np.save(folder / f"{i}_of_{split}.npy", sound.astype(np.float32))
                rows.append(f"{i}_of_{split}\t{folder}/{i}_of_{split}.npy\t{len(sound)}\t{' '.join(word)}")
            _write(folder / f"{split}.tsv", rows)
        _write(folder / "dict.txt", [f"{c} 9" for c in LETTERS])
        _write(folder / "config.yaml", ["vocab_filename: dict.txt", "input_feat_per_channel: 8", "input_channels: 1"])

    return made_once("features", make)


@pytest.fixture(scope="session")
def speech_arguments(tones, features):
    """A function that gives fairseq-train's arguments for one of our speech models."""

    def make(model, *options):
        data = features if "speech_to_text" in OPTIONS[model] else tones
        arch = f"layerdrop_{model}"
        return list(map(str, [data, "--arch", arch, *OPTIONS[model], *TRAINING, *options]))

    return make


@pytest.fixture(scope="session")
def pretrained(speech_arguments, train, made_once):
    """A checkpoint of `wav2vec2` or `hubert`, four layers, after 6 updates with LayerDrop."""

    def path(model):
        argv = speech_arguments(model, "--encoder-layerdrop", 0.3, "--max-update", 6, "--save-dir")
        return made_once(f"full_{model}", lambda folder: train(*argv, folder)) / "checkpoint_last.pt"

    return path
