"""Our models and architectures beside fairseq's: the same parameters, less its copies in encoder layers."""

from __future__ import annotations

import json
import subprocess
from math import prod
from pathlib import Path

import pytest
import torch
from fork_server import programs

import layerdrop_plugin  # noqa: F401  registers
from layerdrop_plugin.fairseq_adapter.compat import ACTIVE, encoder_weight_copies

without_memory = pytest.mark.skipif(not hasattr(torch.device, "__enter__"), reason="torch 2.0 builds without memory")
NAT = ("nonautoregressive_transformer", "cmlm_transformer", "iterative_nonautoregressive_transformer")
TRANSLATION = ("transformer", "bart", "transformer_align", *NAT, "nacrf_transformer")
FAMILIES = (*TRANSLATION, "transformer_lm", "roberta")
COPIES = encoder_weight_copies.COPIES if "encoder_weight_copies" in ACTIVE else ()
"""Of the weights of stock's encoder layers; fairseq-fixed has none."""
ENCODER = ["--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "24", "--encoder-attention-heads", "2"]
DECODER = ["--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "24", "--decoder-attention-heads", "2"]
SMALL = {
    **dict.fromkeys(TRANSLATION, ENCODER + DECODER),
    "transformer_lm": [*DECODER, "--decoder-input-dim", "16", "--decoder-output-dim", "16", "--tokens-per-sample", "8"],
    "roberta": [*ENCODER, "--max-positions", "8"],
}
ADAPTIVE = ["--adaptive-softmax-cutoff", "10,20"]
ADAPTIVE_INPUT = ["--adaptive-input", "--adaptive-input-cutoff", "10,20", "--adaptive-input-factor", "2"]
VARIANTS = [
    ("transformer", "transformer", ["--share-all-embeddings", "--encoder-normalize-before"]),
    ("transformer", "transformer", ["--share-decoder-input-output-embed", "--decoder-normalize-before"]),
    ("transformer", "transformer", ["--encoder-learned-pos", "--decoder-learned-pos", "--layernorm-embedding"]),
    ("transformer", "transformer", ["--checkpoint-activations", "--fp16"]),
    ("transformer", "transformer", ["--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4", "--bf16"]),
    ("transformer", "transformer", ["--no-cross-attention"]),
    ("transformer_lm", "transformer_lm", [*ADAPTIVE_INPUT, *ADAPTIVE, "--criterion", "adaptive_loss"]),
    (
        "transformer_lm",
        "transformer_lm",
        [*ADAPTIVE_INPUT, *ADAPTIVE, "--adaptive-softmax-factor", "2", "--tie-adaptive-weights"],
    ),
    ("transformer_lm", "transformer_lm", ["--share-decoder-input-output-embed", "--checkpoint-activations"]),
    ("transformer_lm", "transformer_lm", ["--decoder-learned-pos", "--no-decoder-final-norm", "--fp16"]),
    ("transformer_lm", "transformer_lm", ["--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4"]),
    ("roberta", "roberta", ["--untie-weights-roberta", "--encoder-normalize-before", "--bf16"]),
    ("roberta", "roberta", ["--quant-noise-pq", "0.1", "--quant-noise-pq-block-size", "4"]),
    ("bart", "bart_base", ["--share-all-embeddings", "--encoder-normalize-before", "--checkpoint-activations"]),
    ("transformer_align", "transformer_align", ["--share-all-embeddings", "--decoder-normalize-before"]),
    ("nacrf_transformer", "nacrf_transformer", ["--share-all-embeddings", "--src-embedding-copy"]),
    ("roberta", "roberta", ["--spectral-norm-classification-head"]),
]


def architectures():
    from fairseq.models import ARCH_MODEL_NAME_REGISTRY

    return [
        (family, arch)
        for family in FAMILIES
        for arch, of in sorted(ARCH_MODEL_NAME_REGISTRY.items())
        if of == family and not arch.startswith("layerdrop_")
    ]


def start_listing(wanted, folder, *plugin):
    """Begin to build models in a fork of the server; returns a function that waits for their parameters."""
    file = folder / f"wanted{len(plugin)}.json"
    file.write_text(json.dumps(wanted))
    script = Path(__file__).with_name("list_parameters.py")
    argv = [*programs.ASK, "-W", "ignore", str(script), str(file), *plugin]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait():
        out, errors = process.communicate()
        assert process.returncode == 0, errors[-4000:]
        return json.loads(out.splitlines()[-1])

    return wait


CASES = [(family, arch, []) for family, arch in architectures()] + VARIANTS


@pytest.fixture(scope="module")
def parameters(fork_server, tmp_path_factory):
    """For each case its parameters in stock fairseq, built without the plugin, and ours."""
    folder = tmp_path_factory.mktemp("parameters")
    stock = [(family, arch, SMALL[family] + arguments, types(family, arguments)) for family, arch, arguments in CASES]
    ours = [(family, "layerdrop_" + arch, arguments, count) for family, arch, arguments, count in stock]
    listings = [start_listing(stock, folder), start_listing(ours, folder, "--plugin")]
    return list(zip(*(wait() for wait in listings)))


def types(family, arguments):
    """How many: above an architecture's own cut-offs (up to 160,000) where they hold."""
    return 40 if arguments or family in ("roberta", "bart") else 200_000


def test_the_families_are_found():
    names = [arch for _, arch in architectures()]
    assert {"transformer_vaswani_wmt_en_de_big", "transformer_lm_wiki103", "roberta_base"} < set(names)
    assert len(names) >= 30


@pytest.mark.slow
@without_memory
@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[" ".join([arch, *arguments]) for _, arch, arguments in CASES]
)
def test_ours_has_the_parameters_of_stock_less_the_copies(parameters, number):
    stock, ours = parameters[number]
    copies = {name for name in stock if name.rpartition(".")[2] in COPIES}
    layers = {name.rpartition(".")[0] for name in copies}
    assert len(copies) == 8 * len(layers)
    assert (len(layers) > 0) == (bool(COPIES) and CASES[number][0] != "transformer_lm")
    assert ours == {name: shape for name, shape in stock.items() if name not in copies}
    assert list(ours) == [name for name in stock if name not in copies]


@without_memory
def test_counts_of_the_papers_language_model(fork_server, tmp_path):
    def case(*arguments):
        return [
            "transformer_lm",
            "layerdrop_transformer_lm_wiki103",
            ["--tokens-per-sample", "512", *arguments],
            267744,
        ]

    wanted = [
        case(),
        case("--decoder-layers-to-keep", "0,2,4,6,8,10,12,14"),
        case("--decoder-layers-to-keep", "drop:0.2"),
    ]
    models = start_listing(wanted, tmp_path, "--plugin")()
    assert [sum(map(prod, model.values())) for model in models] == [246_933_504, 146_163_712, 209_144_832]


@pytest.mark.parametrize("family", FAMILIES)
def test_ours_is_a_class_of_its_own_under_every_name(family):
    from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY

    model = MODEL_REGISTRY["layerdrop_" + family]
    assert model is not MODEL_REGISTRY[family]
    assert issubclass(model, MODEL_REGISTRY[family])
    names = [arch for of, arch in architectures() if of == family]
    assert {ARCH_MODEL_REGISTRY["layerdrop_" + arch] for arch in names} == {model}


@pytest.mark.slow
def test_a_stock_checkpoint_loads_in_ours(stock_full, make_trainer, tiny, data):
    argv = [data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"]]
    trainer = make_trainer(*argv, "--restore-file", stock_full)
    weights = torch.load(stock_full)["model"]
    assert sum(name.rpartition(".")[2] in COPIES for name in weights) == len(COPIES) * 4
    trainer.load_checkpoint(str(stock_full), reset_optimizer=True)
    ours = trainer.model.state_dict()
    assert set(ours) == {name for name in weights if name.rpartition(".")[2] not in COPIES}
    for name, value in ours.items():
        if not name.endswith("._float_tensor"):  # never filled: it tells the type
            assert torch.equal(value, weights[name]), name


@pytest.mark.slow
def test_ours_loads_in_stock_and_gives_the_same_outputs(full, stock, tmp_path):
    """The architecture is the plugin's, so the names of model and options are put back by hand."""
    state = torch.load(full["transformer"])
    state["cfg"]["model"].arch = "transformer"
    state["cfg"]["model"]._name = "transformer"
    torch.save(state, tmp_path / "stock.pt")
    code = """
import torch
from fairseq import checkpoint_utils
model = checkpoint_utils.load_model_ensemble([sys.argv[1]])[0][0].eval()
tokens = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 12, 2]])
torch.save(model(tokens, None, tokens)[0].detach(), sys.argv[2])
print(sum(n.endswith("in_proj_weight") for n, _ in model.named_parameters()))
"""
    process = stock(code, tmp_path / "stock.pt", tmp_path / "out.pt")
    assert process.stdout.split()[-1] == ("4" if COPIES else "0")  # stock has its copies, and filled them itself
    from fairseq import checkpoint_utils

    model = checkpoint_utils.load_model_ensemble([str(full["transformer"])])[0][0].eval()
    tokens = torch.tensor([[5, 6, 7, 8, 2], [9, 10, 11, 12, 2]])
    theirs = torch.load(tmp_path / "out.pt")
    assert torch.allclose(model(tokens, None, tokens)[0], theirs, atol=1e-6)
