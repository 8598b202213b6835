"""A checkpoint with its task and data, found as fairseq's commands find them, ready to be evaluated at any depth."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, NamedTuple, NoReturn

import torch
from fairseq import checkpoint_utils, tasks, utils
from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.multilingual_transformer import MultilingualTransformerModel

from ...dropping import LayerDropStack
from ...prefixes import EachApart, SharedPrefixes
from ...selection import Kept
from ..checkpoints import at_load, layer_settings, pruning, registered, usable
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.overrides import overrides
from ..checkpoints.whole import refuse_shard
from ..errors.user_errors import overriding, reason
from ..modeling.stacks import stacks_of, with_stacks
from ..options.config import get, has, put
from ..options.family import refusal
from ..reading import reader
from .adaptive_loss import adaptive_loss
from .noisy_targets import runs_decoder_repeatedly, with_noise, word_losses
from .options import command_line, context_window, data_refusals, refusals, shorten_by_context_window

MAX_TOKENS = 4000  # per batch, where neither --max-tokens nor --batch-size is given

Sample = dict[str, Any]


class Tally(NamedTuple):
    """Sums over some data; `loss` is negative log-likelihood in bits, so `perplexity` is 2 ** (loss / count)."""

    loss: float
    count: int  # type: ignore[assignment]  # predictions: tokens, or sentences in classification
    correct: int  # right ones, in classification; else 0


class Evaluation:
    """A model on its device in evaluation mode, and what goes with it.

    Attributes:
        models: what runs a batch, by its pair of languages; one model, without a name, where there are no pairs.
        all_stacks: the `LayerDropStack`s of each of these by name, in the order in which they run.
        stacks: those of the first of these; the others have as many layers.
        noisy: whether it predicts words from a noisy target.
        cfg: the complete options of the command line, as fairseq's commands see them.
        saved_cfg: the checkpoint's configuration, with DATA and the task's options of the command line.
        classifies: whether there is an accuracy.
        overrides: the options in --model-overrides, which may prune.
        held: which of the checkpoint's layers the model has, for each stack that --model-overrides prunes.
        pruned_before: what the checkpoint itself has lost, as a sentence; empty for nothing.
    """

    overrides: Mapping[str, Any] = {}
    held: Mapping[str, Kept] = {}
    pruned_before: str = ""

    def __init__(self, model: Any, task: Any, cfg: Any, saved_cfg: Any, device: torch.device) -> None:
        self.model, self.task, self.cfg, self.saved_cfg, self.device = model, task, cfg, saved_cfg, device
        self.criterion = task.build_criterion(saved_cfg.criterion).eval().to(device)
        self.models = dict(model.models) if isinstance(model, MultilingualTransformerModel) else {"": model}
        self.all_stacks = {pair: stacks_of(part, "--path") for pair, part in self.models.items()}
        self.stacks = next(iter(self.all_stacks.values()))
        self.noisy = get(saved_cfg.criterion, "_name") == "nat_loss"
        self.classifies = get(saved_cfg.criterion, "_name") == "sentence_prediction"

    @property
    def needed(self) -> dict[str, Kept]:
        """By stack, the layers without which the model can't be built: the decoder's of `alignment_layer`."""
        depth = len(self.stacks.get("decoder", ()))
        alignment = layer_settings.alignment_layer(self.saved_cfg.model, depth) if depth else None
        return {} if alignment is None else {"decoder": (alignment,)}

    def batches(self, subset: str, at_least: int = 1, option: str = "--gen-subset") -> list[Sample]:
        """Return all batches of a split in which there is something to predict, on the CPU, in fairseq's order.

        Args:
            at_least: make so many batches, as far as possible, where neither --max-tokens nor --batch-size is given.
            option: where the split was given, for errors.

        Raises:
            ValueError: one line: there is no such split, or nothing in it is short enough.
        """
        samples: list[Sample] = []
        for pair, dataset in self._datasets(subset, option).items():
            for sample in self._read(subset, pair, dataset, at_least):
                if self._predictions(sample, subset):
                    samples.append(self._prepared(sample, pair, len(samples)))
        if not samples:
            raise ValueError(f"`{option}` must hold data, but {subset!r} has none that the model can take.")
        return samples

    def _read(self, subset: str, pair: str, dataset: Any, at_least: int) -> list[Sample]:
        """Return the batches of one pair of languages, of all data where there are no pairs."""
        data = self.cfg.dataset
        no_size = data.max_tokens is None and data.batch_size is None
        sizes = {
            "max_tokens": _max_tokens(dataset, at_least) if no_size else data.max_tokens,
            "max_positions": self._max_positions(pair),
            "num_workers": 0,
        }
        window = context_window(self.cfg)
        with refusals(f"the batches of {subset!r}"):
            if window > 0:
                how = {"batch_size": data.batch_size, "context_window": window}
                batches = self.task.eval_lm_dataloader(dataset, **how, **sizes)
            else:
                batches = self.task.get_batch_iterator(
                    dataset,
                    max_sentences=data.batch_size,
                    ignore_invalid_inputs=data.skip_invalid_size_inputs_valid_test,
                    required_batch_size_multiple=data.required_batch_size_multiple,
                    seed=self.cfg.common.seed,
                    **sizes,
                ).next_epoch_itr(shuffle=False)
            return [self._to_score(sample) for sample in batches if sample and "net_input" in sample]

    def _max_positions(self, pair: str) -> Any:
        of_task = self.task.max_positions()
        return utils.resolve_max_positions(of_task[pair] if pair else of_task, self.models[pair].max_positions())

    def _datasets(self, subset: str, option: str) -> dict[str, Any]:
        """Return the data of each pair of languages, of none that is repeated to be as long as the longest."""
        try:
            self.task.load_dataset(subset, combine=False, epoch=1, task_cfg=self.saved_cfg.task)
        except (FileNotFoundError, IsADirectoryError, AssertionError) as error:
            if isinstance(error, AssertionError) and "could not find dataset" not in str(error):
                raise
            data = get(self.saved_cfg.task, "data")
            raise ValueError(f"`{option}` must be a split of the data, but {data} has no {subset!r}.") from None
        dataset = self.task.dataset(subset)
        return {pair: dataset.datasets[pair] if pair else dataset for pair in self.models}

    def _to_score(self, sample: Sample) -> Sample:
        """Remove what must not be predicted: alignments, whose layer may not run, and a symbol at the start.

        A language model's task may put that symbol before each sample. fairseq-eval-lm also leaves it out.
        """
        sample = {name: value for name, value in sample.items() if name not in ("alignments", "align_weights")}
        if get(self.saved_cfg.task, "_name") != "language_modeling" or not get(self.saved_cfg.task, "add_bos_token"):
            return sample
        dictionary, target = self.task.target_dictionary, sample["target"]
        return {**sample, "target": target.masked_fill(target.eq(dictionary.bos()), dictionary.pad())}

    def _prepared(self, sample: Sample, pair: str, number: int) -> Sample:
        """Return a batch with its pair of languages, and with noise, which its number draws."""
        sample = {**sample, "lang_pair": pair} if pair else sample
        return with_noise(self.task, sample, self.cfg.common.seed, number) if self.noisy else sample

    def model_of(self, sample: Sample) -> Any:
        """Return the model that runs a batch: that of its pair of languages."""
        return self.models[sample.get("lang_pair", "")]

    def stacks_of(self, sample: Sample) -> dict[str, LayerDropStack]:
        """Return the stacks by which a batch goes."""
        return self.all_stacks[sample.get("lang_pair", "")]

    def results(self, sample: Sample) -> SharedPrefixes | EachApart:
        """Return what gives the tally of each candidate on a batch, which is on the device."""
        stacks = list(self.stacks_of(sample).values())
        kind = EachApart if runs_decoder_repeatedly(self.model) else SharedPrefixes
        return kind(stacks, lambda: self.tally(sample))

    def _predictions(self, sample: Sample, subset: str = "") -> int:
        """Return the number of predictions; RoBERTa's masks may leave a small batch without any."""
        target = sample.get("target")
        if target is None:
            raise ValueError(f"`DATA` must have the target side of {subset!r}, but has none.")
        return target.numel() if self.classifies else int(target.ne(self.task.target_dictionary.pad()).sum())

    def to_device(self, sample: Sample) -> Sample:
        """Return a batch on the model's device, its floating numbers in the model's type."""
        if self.device.type == "cpu":
            return sample
        moved = utils.move_to_cuda(sample, self.device)
        if not self.cfg.common.fp16:
            return moved
        return utils.apply_to_sample(lambda t: t.half() if t.dtype is torch.float32 else t, moved)

    @torch.no_grad()
    def tally(self, sample: Sample) -> Tally:
        """Return the sums for one batch, which is on the device, with the layers that run at the time."""
        model = self.model_of(sample)
        if self.noisy:
            total, words = word_losses(model, sample, self.cfg.common.seed)
            return Tally(total / math.log(2), words, 0)
        if isinstance(self.criterion, AdaptiveLoss):
            nats = adaptive_loss(model, sample, self.task.target_dictionary.pad())
            return Tally(float(nats) / math.log(2), self._predictions(sample), 0)
        log = self.criterion(model, sample)[2]
        nats = log["nll_loss"] if "nll_loss" in log else log["loss"]
        correct = int(log["ncorrect"]) if self.classifies else 0
        return Tally(float(nats) / math.log(2), self._predictions(sample), correct)

    @contextlib.contextmanager
    def running(self, kept: Mapping[str, Sequence[int]]) -> Iterator[None]:
        """Run only these layers of these stacks; nothing is reloaded."""
        with contextlib.ExitStack() as stack:
            for stacks in self.all_stacks.values():  # the same one may stand for several pairs of languages
                for name, layers in kept.items():
                    stack.enter_context(stacks[name].running(layers))
            yield


def majority(batches: Sequence[Sample]) -> float:
    """Return the share of the most frequent class in batches of a task that classifies: what chance gets right."""
    counts = Counter(label for batch in batches for label in batch["target"].view(-1).tolist())
    return max(counts.values()) / sum(counts.values())


def load(path: str, model_overrides: str, argv: Sequence[str], error: Callable[[str], NoReturn]) -> Evaluation:
    """Return the checkpoint `path` with the task, data and options that fairseq's arguments `argv` say.

    The options of task and criterion are the checkpoint's, except for those in `argv`, which also name DATA.

    Args:
        model_overrides: as for fairseq's `--model-overrides`; may prune.
        error: ends the command with a message, for what fairseq's parser refuses.

    Raises:
        ValueError: one line: the checkpoint can't be read, or an option does not fit.
    """
    if os.pathsep in path and not os.path.exists(path):  # what is an ensemble to fairseq
        raise ValueError(f"`--path` must be one checkpoint, but is {path!r} instead.")
    reader.check_file(path, "--path")
    refuse_shard(path, "--path")
    with reader.unchanged(path):
        return _load(path, overrides(model_overrides), argv, error)


def _load(path: str, changes: dict[str, Any], argv: Sequence[str], error: Callable[[str], NoReturn]) -> Evaluation:
    with at_load.mapping(path), at_load.named_by("--path", "--model-overrides"):
        state = checkpoint_utils.load_checkpoint_to_cpu(path, changes)
    checkpoint = Checkpoint.of(state)
    refuse_shard(path, "--path", checkpoint.weights)
    usable.check_options(checkpoint, path, "model", "task", "criterion")
    registered.check_checkpoint(checkpoint, path, "task", "model", "criterion")
    saved_cfg = checkpoint.cfg if checkpoint.args is None else convert_namespace_to_omegaconf(checkpoint.args)
    cfg, given = command_line(argv, saved_cfg, error)
    device = _device(cfg)
    for part in (saved_cfg.task, saved_cfg.criterion):
        for name in given:
            if has(part, name) and name != "_name":
                put(part, name, given[name])
    if context_window(cfg):
        shorter = shorten_by_context_window(cfg, get(saved_cfg.task, "tokens_per_sample"))
        put(saved_cfg.task, "tokens_per_sample", shorter)
    if get(saved_cfg.task, "regression_target"):
        raise ValueError("`--path` must be a model that predicts words or classes, but this one's task is regression.")
    why_not = refusal(checkpoint.architecture)
    if why_not is not None:
        raise ValueError(f"`--path` must be a model that can be pruned, but {why_not}.")
    if any(stack.exits is not None for stack in checkpoint.family.stacks.values()):
        arch = checkpoint.architecture
        raise ValueError(f"`--path` must be a model whose loss needs no libnat of fairseq's, but is {arch}.")
    model, task = _model_and_task(path, state, saved_cfg, changes)
    if getattr(task, "target_dictionary", None) is None:
        name = get(saved_cfg.task, "_name")
        raise ValueError(f"`--path` must be a model that predicts words or classes, but this one's task is {name}.")
    if get(saved_cfg.criterion, "_name") == "nat_loss" and not hasattr(task, "inject_noise"):
        name = get(saved_cfg.task, "_name")
        raise ValueError(f"`--path` must be a model whose task makes the noise of nat_loss, but its task is {name}.")
    with_stacks(model)
    model = model.half() if cfg.common.fp16 else model
    loaded = Evaluation(model.eval().to(device), task, cfg, saved_cfg, device)
    loaded.overrides, loaded.held = changes, _held(path, changes)
    loaded.pruned_before = "" if loaded.held else pruning.pruned_before(checkpoint)
    return loaded


def _held(path: str, changes: Mapping[str, Any]) -> dict[str, Kept]:
    specs = pruning.requested(changes)
    if not specs:
        return {}
    checkpoint = Checkpoint.of(reader.read(path, "--path"))
    plan = pruning.plan(specs, checkpoint.depths, checkpoint.learned_rates, checkpoint.architecture)
    return {stack: pruned.kept for stack, pruned in plan.items()}


def _device(cfg: Any) -> torch.device:
    if torch.cuda.is_available() and not cfg.common.cpu:
        return torch.device("cuda", torch.cuda.current_device())
    if cfg.common.fp16:
        raise ValueError("`--fp16` must go with a GPU, but the model runs on the CPU.")
    return torch.device("cpu")


def _model_and_task(path: str, state: dict[str, Any], saved_cfg: Any, changes: Mapping[str, Any]) -> Any:
    with data_refusals():
        task = tasks.setup_task(saved_cfg.task)
    try:
        with usable.taken(path), overriding(changes, [path]):
            models, _, task = checkpoint_utils.load_model_ensemble_and_task([path], task=task, state=state)
    except RuntimeError as error:
        if "Error(s) in loading state_dict" not in str(error):
            raise
        raise ValueError(f"`DATA` must fit the weights of {path}, but: {reason(error)}.") from None
    return models[0], task


def _max_tokens(dataset: Any, at_least: int) -> int:
    lengths = [int(dataset.num_tokens(i)) for i in range(len(dataset))]
    return max(1, *lengths, min(MAX_TOKENS, sum(lengths) // at_least))
