"""What fairseq takes from the configuration in a checkpoint file, and what it does not.

Whoever made the file chose its options; the user may never have seen them. fairseq 0.12.2 and main build task, model
and criterion from them. `fairseq-validate` and `layerdrop-search`, say, empty the file that the criterion
`sentence_ranking` has in `save_predictions`. So options that name something to write to, or code to import, count only
where the user gives them: on the command line, in YAML, in `--model-overrides`, as keywords of `from_pretrained`.

So do addresses from which fairseq would fetch a file. All others are taken: sizes and choices, and paths that are read
(`data`, dictionaries, models of BPE, `w2v_path`, ...).
"""

from __future__ import annotations

import copy
import logging
import operator
import re
from argparse import Namespace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from .omegaconf_objects import container

logger = logging.getLogger(__name__)

NOT_TAKEN: dict[str, Any] = {
    # files and folders that are written
    "save_predictions": None,  # by the criterion `sentence_ranking`, and by that of fairseq's WSC example
    "tensorboard_logdir": None,  # by training, and by the task `text_to_speech`
    "log_file": None,
    "save_dir": "checkpoints",
    "results_path": None,
    "distributed_init_method": None,  # file://...
    "use_plasma_view": False,  # a store for data, shared between processes
    "plasma_path": "/tmp/plasma",
    # services that get the logs
    "aim_repo": None,
    "aim_run_hash": None,
    "wandb_project": None,
    "azureml_logging": False,
    # code that is imported or called
    "user_dir": None,
    "job_logging_cfg": {"version": 1, "disable_existing_loggers": False},
}
"""Options by name, in whichever part of a configuration, with what takes their place: fairseq's own defaults."""

FETCHED = frozenset(
    (
        *("bpe_codes", "bpe_merges", "bpe_vocab", "gpt2_encoder_json", "gpt2_vocab_bpe"),
        *("sentencepiece_model", "sentencepiece_model_path"),
    )
)
"""Options whose file fairseq fetches where they are an address."""

FROM_FAIRSEQ = "https://dl.fbaipublicfiles.com/fairseq/gpt2_bpe/"
"""Where the defaults of two of them lead."""

MAKES_OPTIONS = re.compile(r"\$\{\s*oc\s*\.\s*(create|decode)|\$\{[^:]*\$\{.*:", re.DOTALL)
"""Interpolations from which omegaconf makes further options, also those whose function name is interpolated."""


def disarm(state: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a checkpoint whose configuration was changed, in place, to what may be taken from a file.

    Raises:
        ValueError: one line: the configuration holds text that would become further options.
    """
    roots: dict[str, Any] = {name: _plain(state[name]) for name in ("args", "cfg") if name in state}
    for name, value in roots.items():
        if isinstance(value, str):  # omegaconf would read it as YAML
            raise ValueError(f"`{name}` in a checkpoint must hold options, but in {path} is {value!r} instead.")
    _disarm(roots, path)
    return {**state, **roots}


def _disarm(options: Any, path: str) -> None:
    """Change a dict or a list in place, and everything in it."""
    waiting: list[tuple[Any, bool]] = [(options, False)]
    seen: set[int] = set()  # for references in a circle
    while waiting:
        entry = waiting.pop()
        if id(entry[0]) not in seen:
            seen.add(id(entry[0]))
            waiting += _disarmed(*entry, path)


def _disarmed(options: Any, in_namespace: bool, path: str) -> list[tuple[Any, bool]]:
    """Change a dict or a list in place; return its values that may hold options, too."""
    held = []
    for name, value in list(options.items() if isinstance(options, dict) else enumerate(options)):
        plain = copy.copy(NOT_TAKEN[name]) if name in NOT_TAKEN else _plain(value)
        if isinstance(plain, str) and MAKES_OPTIONS.search(plain):
            raise ValueError(f"`{name}` in a checkpoint must be a plain value, but in {path} is {plain!r} instead.")
        if name in FETCHED and isinstance(plain, str) and "://" in plain and not plain.startswith(FROM_FAIRSEQ):
            logger.warning("`%s` in %s is not taken, as it is an address: %r", name, path, plain)
            del options[name]
            continue
        if in_namespace and isinstance(value, (DictConfig, ListConfig)) and name not in NOT_TAKEN:
            _disarm(plain, path)
            options[name] = container(plain)  # whose attributes fairseq's models ask for: `w2v_args.model`
            continue
        if plain is not value:
            options[name] = plain
        if isinstance(plain, (dict, list, tuple)):
            held.append((plain, in_namespace))
        elif isinstance(plain, Namespace):
            held.append((vars(plain), True))
    return held


def _plain(value: Any) -> Any:
    """Return omegaconf's containers, which a script may have saved, as plain ones; anything else as it is."""
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        return value if all(map(operator.is_, items, value)) else items
    return OmegaConf.to_container(value) if isinstance(value, (DictConfig, ListConfig)) else value
