"""Tiny models of fairseq that are built on its transformer: options, data, and one pass in training."""

from __future__ import annotations

import shutil

import pytest
import torch

SPLITS = ("train", "valid", "test")
RATES = ["--encoder-layerdrop", "0.5", "--decoder-layerdrop", "0.5"]
NAT = [
    *("--task", "translation_lev", "--criterion", "nat_loss", "--noise", "full_mask", "--label-smoothing", "0.1"),
    "--share-all-embeddings",
]
TEXT_MODELS = {
    "bart": ["--arch", "bart_base", "--task", "translation", "--criterion", "label_smoothed_cross_entropy"],
    "transformer_align": [
        *("--arch", "transformer_align", "--task", "translation", "--load-alignments", "--alignment-layer", "2"),
        *("--criterion", "label_smoothed_cross_entropy_with_alignment", "--share-all-embeddings"),
        "--full-context-alignment",  # runs the decoder twice
    ],
    "nonautoregressive_transformer": ["--arch", "nonautoregressive_transformer", *NAT],
    "cmlm_transformer": ["--arch", "cmlm_transformer", *NAT[:5], "random_mask", *NAT[6:]],
    "iterative_nonautoregressive_transformer": [
        *("--arch", "iterative_nonautoregressive_transformer", *NAT, "--train-step", "3", "--dae-ratio", "0.5"),
    ],
    "nacrf_transformer": ["--arch", "nacrf_transformer", *NAT, "--crf-lowrank-approx", "4", "--crf-beam-approx", "6"],
}
"""Options by model of fairseq's; `--arch` is fairseq's, and no rates are among them."""


def argv_of(tiny, family, prefix="layerdrop_"):
    """The options of a tiny model and its training, without drop rates; `prefix` goes before the architecture."""
    _, arch, *others = TEXT_MODELS[family]
    sizes = tiny["transformer"][tiny["transformer"].index("--encoder-layers") :]
    return ["--arch", prefix + arch, *others, *sizes, "--encoder-layerdrop", 0, "--decoder-layerdrop", 0]


@pytest.fixture(scope="session")
def aligned(text, made_once):
    """The translation task of `text` with alignments: the words of each sentence, from its end."""
    from fairseq import options
    from fairseq_cli import preprocess

    def make(folder):
        raw = folder / "raw"
        raw.mkdir()
        for split in SPLITS:
            for language in ("en", "de"):
                shutil.copy(text / f"{split}.{language}", raw)
            lengths = [len(line.split()) for line in (text / f"{split}.en").read_text().splitlines()]
            lines = (" ".join(f"{i}-{n - 1 - i}" for i in range(n)) for n in lengths)
            (raw / f"{split}.align").write_text("".join(f"{line}\n" for line in lines))
        prefixes = [word for split in SPLITS for word in (f"--{split}pref", raw / split)]
        languages = ("--source-lang", "en", "--target-lang", "de", "--joined-dictionary", "--align-suffix", "align")
        argv = map(str, [*languages, *prefixes, "--destdir", folder])
        preprocess.main(options.get_preprocessing_parser().parse_args(list(argv)))

    return made_once("data_aligned", make)


def watch(stack):
    """A list that fills with the indices of the layers that run."""
    ran = []
    for i in range(len(stack)):
        stack[i].register_forward_hook(lambda *_, i=i: ran.append(i))
    return ran


def loss_of(trainer, number=0, seed=1):
    """Run the criterion on a batch, from one state of torch's generator; return the loss."""
    trainer.task.load_dataset("valid")
    batches = trainer.task.get_batch_iterator(trainer.task.dataset("valid"), max_tokens=100, seed=1)
    sample = list(batches.next_epoch_itr(shuffle=False))[number]
    sample["prev_target"] = None  # as translation_lev's train_step sets it
    if hasattr(trainer.task, "inject_noise"):
        torch.manual_seed(seed)
        sample["prev_target"] = trainer.task.inject_noise(sample["target"])
    torch.manual_seed(seed)
    return trainer._criterion(trainer._model, sample)[0]
