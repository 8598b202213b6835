"""BLEU of the translations that `fairseq-generate` would give, with the layers that run at the time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple

import torch
from fairseq import utils
from fairseq.data.data_utils import post_process
from fairseq_cli.generate import get_symbols_to_strip_from_output
from omegaconf import MissingMandatoryValue

from .evaluation import Evaluation, Sample

NOT_HERE = ("constraints", "lm_path", "replace_unk", "score_reference")  # they need more than a model and its data


class Bleu(NamedTuple):
    """A score from 0 to 100, sacrebleu's signature for it, and what it took to generate the translations."""

    score: float
    signature: str
    tokens: int  # generated, each sentence's end included
    seconds: float  # of generation alone


def bleu(evaluation: Evaluation, batches: Sequence[Sample]) -> Bleu:
    """Return the BLEU score of the best hypotheses for `batches`, which are on the CPU.

    Beam, length penalty, removal of BPE, tokenizer and all other options of fairseq-generate are those of
    `evaluation.cfg`. Hypotheses and references are what fairseq-generate prints in its D and T lines. At the end the
    model is as it was before: fairseq leaves it in a state in which the losses of later batches are wrong.

    Raises:
        ValueError: as `check`, or fairseq refuses the options of generation.
    """
    metric = _metric(evaluation.cfg.scoring)
    hypotheses: list[str] = []
    references: list[str] = []
    tokens, seconds = 0, 0.0
    padding = evaluation.task.target_dictionary.pad()
    with _generating(evaluation) as generator:
        text = _text(evaluation, generator)
        for batch in batches:
            best, taken = _generate(evaluation, generator, batch)
            tokens, seconds = tokens + sum(map(len, best)), seconds + taken
            hypotheses += map(text, best)
            references += [text(utils.strip_pad(target, padding), escape_unk=True) for target in batch["target"]]
    score = metric.corpus_score(hypotheses, [references]).score
    return Bleu(score, str(metric.get_signature()), tokens, seconds)


def time_generation(
    evaluation: Evaluation, batch: Sample, prepare: Callable[[Any], Any] = lambda generator: None
) -> tuple[int, float]:
    """Return how many tokens the best hypotheses for a batch have, and how many seconds it took to generate them.

    Args:
        prepare: is called with fairseq's generator before.
    """
    with _generating(evaluation) as generator:
        prepare(generator)
        best, seconds = _generate(evaluation, generator, batch)
    return sum(map(len, best)), seconds


def check(evaluation: Evaluation) -> None:
    """Refuse, before long work, what `bleu` can't do.

    Raises:
        ValueError: one line: no translation model, no sacrebleu, or an option that has no place here.
    """
    if list(evaluation.stacks) != ["encoder", "decoder"]:
        stacks = " and ".join(evaluation.stacks)
        raise ValueError(f"`--bleu` must be for a translation model, but this one has a stack of {stacks} layers only.")
    cfg = evaluation.cfg
    check_options(evaluation, "with --bleu")
    try:
        post_process("", cfg.common_eval.post_process)  # no text: it only says whether it knows the name
    except NotImplementedError:
        raise ValueError(
            f"`--post-process` must be one that fairseq knows, but is {cfg.common_eval.post_process!r} instead."
        ) from None
    _metric(cfg.scoring)
    with _generating(evaluation) as generator:
        _text(evaluation, generator)


def check_options(evaluation: Evaluation, where: str) -> None:
    """Refuse options of beam search that have no place where sentences are generated here, and several pairs.

    Raises:
        ValueError: one line.
    """
    if len(evaluation.models) > 1:
        raise ValueError(
            f"`--source-lang` and `--target-lang` must be given {where}, as the model has several pairs of "
            f"languages: {', '.join(evaluation.models)}."
        )
    options = evaluation.cfg.generation
    for name in NOT_HERE:
        value = getattr(options, name)
        if value:
            raise ValueError(f"`--{name.replace('_', '-')}` must be left out {where}, but is {value!r}.")
    if options.beam < 1:
        raise ValueError(f"`--beam` must be at least 1, but is {options.beam} instead.")


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its work, for timing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _metric(scoring: Any) -> Any:
    """Return sacrebleu's metric as the options have it."""
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ValueError('`--bleu` needs sacrebleu: pip install "layerdrop_plugin[bleu]".') from None
    name = scoring._name if scoring is not None else "bleu"
    if name not in ("bleu", "sacrebleu"):
        raise ValueError(f"`--scoring` must be sacrebleu or left out with --bleu, but is {name!r} instead.")
    how: dict[str, Any] = {"force": True}  # no warning that the text looks tokenized
    if name == "sacrebleu":
        if scoring.sacrebleu_char_level:
            raise ValueError(
                "`--sacrebleu-char-level` must be left out with --bleu; --sacrebleu-tokenizer char is like it."
            )
        how.update(tokenize=str(scoring.sacrebleu_tokenizer), lowercase=scoring.sacrebleu_lowercase)
    try:
        return BLEU(**how)
    except (ImportError, OSError, RuntimeError) as error:  # some tokenizers need a package or a model
        why = " ".join(str(error).split())
        raise ValueError(f"`--sacrebleu-tokenizer` must be at hand, but {how['tokenize']!r} is not: {why}") from None


def _generate(evaluation: Evaluation, generator: Any, batch: Sample) -> tuple[list[torch.Tensor], float]:
    """Return the tokens of the best hypothesis of each sentence, and the seconds that it took."""
    sample = evaluation.to_device(batch)
    size = evaluation.cfg.generation.prefix_size
    prefix = sample["target"][:, :size] if size > 0 else None
    wait_for(evaluation.device)
    start = time.perf_counter()
    hypotheses_of = evaluation.task.inference_step(generator, [evaluation.model], sample, prefix_tokens=prefix)
    wait_for(evaluation.device)
    seconds = time.perf_counter() - start
    return [hypotheses[0]["tokens"] for hypotheses in hypotheses_of], seconds


def _text(evaluation: Evaluation, generator: Any) -> Callable[..., str]:
    """Return the function that makes text of tokens: without BPE, by --post-process, --bpe and --tokenizer."""
    task, cfg = evaluation.task, evaluation.cfg
    try:
        bpe, tokenizer = task.build_bpe(cfg.bpe), task.build_tokenizer(cfg.tokenizer)
    except (ImportError, OSError) as error:
        raise ValueError(f"`--bpe` and `--tokenizer` must be at hand for --bleu: {error}") from None
    except MissingMandatoryValue as error:
        raise ValueError(f"`--{error.key.replace('_', '-')}` must be given with --bpe, but is missing.") from None
    how = {
        "bpe_symbol": cfg.common_eval.post_process,
        "extra_symbols_to_ignore": get_symbols_to_strip_from_output(generator),
    }

    def text(tokens: torch.Tensor, escape_unk: bool = False) -> str:
        line = task.target_dictionary.string(tokens.int().cpu(), escape_unk=escape_unk, **how)
        line = line if bpe is None else bpe.decode(line)
        return line if tokenizer is None else str(tokenizer.decode(line))

    return text


@contextlib.contextmanager
def _generating(evaluation: Evaluation) -> Iterator[Any]:
    """Yield fairseq's generator while the model is prepared for it."""
    options = evaluation.cfg.generation
    extra = {"lm_model": None, "lm_weight": options.lm_weight}
    with _prepared_for_inference(evaluation), _seeded(evaluation), _one_line():
        yield evaluation.task.build_generator([evaluation.model], options, extra_gen_cls_kwargs=extra)


@contextlib.contextmanager
def _prepared_for_inference(evaluation: Evaluation) -> Iterator[None]:
    """Let fairseq prepare the model for generation, and undo what that and the generator set in its modules.

    If the beam size stayed set, cross-attention would read only one sentence of each `beam` (fairseq 0.12.2).
    """
    before: list[tuple[torch.nn.Module, Any]] = [(m, dict(vars(m))) for m in evaluation.model.modules()]
    try:
        evaluation.model.prepare_for_inference_(evaluation.cfg)
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)


@contextlib.contextmanager
def _seeded(evaluation: Evaluation) -> Iterator[None]:
    """Sample, with --sampling, from --seed, and leave torch's generators as they were."""
    with torch.random.fork_rng([evaluation.device] if evaluation.device.type == "cuda" else []):
        utils.set_torch_seed(evaluation.cfg.common.seed)
        yield


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Turn fairseq's assertions about the options of generation into one line, a ValueError."""
    try:
        yield
    except AssertionError as error:
        raise ValueError(f"fairseq refuses the options of generation: {error}") from None
