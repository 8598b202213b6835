"""Several pairs of languages, non-autoregressive models, convolutions: what a search scores is the pruned model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from shared.evaluating import load, message
from shared.text_models import TEXT_MODELS, argv_of

from layerdrop_plugin.fairseq_adapter.evaluation import generation, hidden_states, part_costs, running_cost
from layerdrop_plugin.fairseq_adapter.evaluation.evaluation import Tally

pytestmark = pytest.mark.slow

LABELS = ["--label-smoothing", "0.1"]
PAIRS = ["--task", "multilingual_translation", "--lang-pairs", "en-de,fr-de"]
OTHERS = {
    "multilingual_transformer": [*PAIRS, "--criterion", "label_smoothed_cross_entropy", *LABELS],
    "lightconv": [
        *("--task", "translation", "--criterion", "label_smoothed_cross_entropy", *LABELS),
        *("--encoder-kernel-size-list", "[3,5,7,9]", "--decoder-kernel-size-list", "[3,5,7,9]"),
        *("--encoder-glu", "0", "--decoder-glu", "0"),
    ],
}
NOISY = [name for name in TEXT_MODELS if name.endswith(("cmlm_transformer", "iterative_nonautoregressive_transformer"))]
NOISY += ["nacrf_transformer"]
KEPT = {"encoder": (0, 3), "decoder": (1, 2)}
OVERRIDES = "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': '1,2'}"


@pytest.fixture(scope="module")
def folder(data, made_once):
    """Data of the pairs en-de and fr-de, which has fewer sentences to train on."""

    def make(folder):
        for file in Path(data["transformer"]).iterdir():
            (folder / file.name).symlink_to(file)
            french = file.name.replace("en-de.en", "fr-de.fr").replace("en-de", "fr-de").replace("dict.en", "dict.fr")
            if french != file.name:
                (folder / french).symlink_to(file.parent / file.name.replace("train", "valid"))

    return made_once("data_pairs", make)


@pytest.fixture(scope="module")
def checkpoint(tiny, folder, train, made_once):
    """A function from a family to a checkpoint of fairseq's own model after two updates."""

    def make(name):
        if name in OTHERS:
            first, rates = (tiny["transformer"].index(f"--encoder-{what}") for what in ("layers", "layerdrop"))
            sizes = tiny["transformer"][first:rates] + tiny["transformer"][rates + 4 :]
            options = ["--arch", name, *OTHERS[name], *sizes]
        else:
            options = argv_of(tiny, name, prefix="")
        argv = [folder, *options, "--max-update", 2, "--disable-validation", "--save-dir"]
        return made_once(f"searched_{name}", lambda made: train(*argv, made)) / "checkpoint_last.pt"

    return make


def total(model, batches):
    return Tally(*map(sum, zip(*map(model.tally, batches))))


@pytest.mark.parametrize("name", [*OTHERS, *NOISY])
def test_the_score_of_a_set_is_that_of_the_model_pruned_to_it(name, checkpoint, folder):
    model = load(checkpoint(name), folder)
    batches = model.batches("valid")
    pruned = load(checkpoint(name), folder, overrides=OVERRIDES)
    expected = [pruned.tally(batch) for batch in pruned.batches("valid")]
    with model.running(KEPT):
        assert [model.tally(batch) for batch in batches] == expected
    candidates = [((0, 1), (1, 2)), tuple(KEPT.values()), ((0, 3), (1, 3))]
    found = [[results.result(c) for c in candidates] for results in map(model.results, batches)]
    assert [of_batch[1] for of_batch in found] == expected
    assert expected != [of_batch[0] for of_batch in found]
    assert running_cost.parameters(model, tuple(KEPT.values())) == sum(p.numel() for p in pruned.model.parameters())


def test_each_sentence_of_each_pair_counts_once(checkpoint, folder):
    """fairseq-validate repeats the sentences of the pair that has fewer."""
    path = checkpoint("multilingual_transformer")
    model, one = load(path, folder), load(path, folder, "--source-lang", "fr", "--target-lang", "de")
    both, french = model.batches("train"), one.batches("train")
    sentences = {pair: sum(b["nsentences"] for b in both if b["lang_pair"] == pair) for pair in model.models}
    assert sentences == {"en-de": 240, "fr-de": 24}
    assert list(one.models) == ["fr-de"]
    assert total(model, [b for b in both if b["lang_pair"] == "fr-de"]) == total(one, french)


def test_the_loss_of_all_pairs_is_fairseqs(checkpoint, folder):
    model = load(checkpoint("multilingual_transformer"), folder, "--max-tokens", 100_000)
    by_pair = {batch["lang_pair"]: batch for batch in model.batches("valid")}
    log = model.task.valid_step(by_pair, model.model, model.criterion)[2]
    found = total(model, list(by_pair.values()))
    assert found.loss == pytest.approx(float(log["nll_loss"]) / math.log(2), rel=1e-6)
    assert found.count == log["ntokens"]


def test_translations_are_of_one_pair(checkpoint, folder):
    path = checkpoint("multilingual_transformer")
    assert message(generation.check, load(path, folder)) == (
        "`--source-lang` and `--target-lang` must be given with --bleu, as the model has several pairs of languages: "
        "en-de, fr-de."
    )
    one = load(path, folder, "--source-lang", "fr", "--target-lang", "de", "--max-len-b", 9)
    generation.check(one)
    assert generation.bleu(one, one.batches("valid")).tokens > 0


def test_a_budget_is_of_one_pair(checkpoint, folder):
    path = checkpoint("multilingual_transformer")
    assert message(part_costs.check, load(path, folder)) == (
        "`--source-lang` and `--target-lang` must be given with a budget, as the model has several pairs of languages: "
        "en-de, fr-de."
    )
    part_costs.check(load(path, folder, "--source-lang", "fr", "--target-lang", "de"))


@pytest.mark.parametrize("name", ["multilingual_transformer", *NOISY])
def test_what_the_parts_cost(name, checkpoint, folder, monkeypatch):
    """Also where words are refined rather than searched for."""
    monkeypatch.setattr(part_costs, "REPEATS", (1, 1))
    model = load(checkpoint(name), folder, "--source-lang", "en", "--target-lang", "de", "--max-len-b", 5)
    batches = model.batches("valid")[:1]
    costs = part_costs.measure(model, ["encoder", "decoder"], batches)
    assert costs.in_use.seconds((4, 4)) > 0
    (timed,) = part_costs.in_use(model, [tuple(KEPT.values())], batches)
    assert timed.tokens[0] >= len(batches[0]["id"])


@pytest.mark.parametrize("name", NOISY)
def test_the_noise_and_the_loss_come_from_the_seed(name, checkpoint, folder):
    path = checkpoint(name)
    model, other = load(path, folder), load(path, folder, "--seed", 2)
    first, again = model.batches("valid"), model.batches("valid")
    assert all(torch.equal(a["prev_target"], b["prev_target"]) for a, b in zip(first, again))
    before = torch.get_rng_state()
    assert [model.tally(batch) for batch in first] == [model.tally(batch) for batch in again]
    assert torch.equal(torch.get_rng_state(), before)
    same = total(model, first).loss == pytest.approx(total(other, other.batches("valid")).loss, rel=1e-6)
    assert same == (name == "nacrf_transformer")  # the only one here that draws nothing: all words are masked


@pytest.mark.parametrize("name", ["cmlm_transformer", "nacrf_transformer"])
def test_the_loss_is_that_of_which_fairseq_gives_the_mean(name, checkpoint, folder):
    model = load(checkpoint(name), folder)
    batch = model.batches("valid")[0]
    unknown = model.task.target_dictionary.unk()
    padding = model.task.target_dictionary.pad()
    words = batch["prev_target"].eq(unknown) if name == "cmlm_transformer" else batch["target"].ne(padding)
    found = model.tally(batch)
    assert found.count == int(words.sum())
    with torch.no_grad():
        mean = float(model.criterion(model.model, batch)[2]["nll_loss"]) / math.log(2)
    assert found.loss / found.count == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("name", ["multilingual_transformer", "iterative_nonautoregressive_transformer"])
def test_distances_of_layers_are_means_over_all_that_runs(name, checkpoint, folder):
    model = load(checkpoint(name), folder)
    distances = hidden_states.cosine_distances(model, model.batches("valid"))
    assert [len(of_layers) for of_layers in distances.values()] == [4, 4]
    assert all(0 < distance < 1.2 for of_layers in distances.values() for distance in of_layers)


def test_what_has_no_loss_here(checkpoint, full, data, folder, tmp_path):
    state = torch.load(full["transformer"], weights_only=False)
    state["cfg"]["criterion"] = {"_name": "nat_loss", "label_smoothing": 0.1}
    torch.save(state, tmp_path / "nat.pt")
    assert message(load, tmp_path / "nat.pt", data["transformer"]) == (
        "`--path` must be a model whose task makes the noise of nat_loss, but its task is translation."
    )
    state = torch.load(checkpoint("cmlm_transformer"), weights_only=False)
    state["cfg"]["model"].arch = state["cfg"]["model"]._name = "insertion_transformer"
    torch.save(state, tmp_path / "nat.pt")
    assert message(load, tmp_path / "nat.pt", folder) == (
        "`--path` must be a model whose loss needs no libnat of fairseq's, but is insertion_transformer."
    )
