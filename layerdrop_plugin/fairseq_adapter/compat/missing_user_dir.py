"""A forgotten `--user-dir layerdrop_plugin` ends a command with a page of usage, or with an UnpicklingError.

fairseq 0.12.2 and main, any Python. Without the plugin, fairseq knows no `layerdrop_` architectures and none of our
options, and torch 2.6 and newer refuse its checkpoints. layerdrop_plugin_startup applies this patch as soon as fairseq
is imported. The patch says in one line what to add. It changes nothing else, and nothing once the plugin is loaded.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
from collections.abc import Iterator
from typing import Any

from ..errors.running_command import running_command
from ..hooks import wrap

PLUGIN = "layerdrop_plugin.fairseq_adapter.registration"
OURS = re.compile(
    r"layerdrop_[a-z]\w*|--layerdrop-\w+|--(?:en|de)coder-(?:layerdrop-learned|headdrop|ffndrop|sublayerdrop)",
    re.IGNORECASE,
)
"""What fairseq has never heard of, in its own messages."""
ADD = "add --user-dir layerdrop_plugin"
ADD_IN_YAML = "add common.user_dir=layerdrop_plugin"


def needed() -> str | None:
    """Return the reason, which holds as long as fairseq does not know this package."""
    return "fairseq does not say that --user-dir is missing"


def apply() -> None:
    """Look at how fairseq's functions fail that parse the command line, read checkpoints and build models."""
    from fairseq import checkpoint_utils, options
    from fairseq.distributed import utils

    wrap(options, "parse_args_and_arch", _parse_args_and_arch)
    wrap(checkpoint_utils, "load_checkpoint_to_cpu", _load_checkpoint_to_cpu)
    wrap(checkpoint_utils, "load_model_ensemble_and_task", _load_model_ensemble_and_task)
    wrap(utils, "call_main", _call_main)


def _parse_args_and_arch(original: Any, parser: Any, *args: Any, **kwargs: Any) -> Any:
    if "error" in vars(parser):
        return original(parser, *args, **kwargs)
    error = parser.error

    def explained(text: str) -> None:
        if _is_missing() and OURS.search(text):
            _end(f"{_first(text)}; {ADD}")
        error(text)

    parser.error = explained
    try:
        return original(parser, *args, **kwargs)
    finally:
        if parser.error is explained:
            del parser.error


def _load_checkpoint_to_cpu(original: Any, path: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(path, *args, **kwargs)
    except pickle.UnpicklingError:
        if not _is_missing():
            raise
        _end(f"torch refuses to read {path}; {_add()}, which reads checkpoints of fairseq")


def _load_model_ensemble_and_task(original: Any, *args: Any, **kwargs: Any) -> Any:
    with _about_ours():
        return original(*args, **kwargs)


def _call_main(original: Any, cfg: Any, *args: Any, **kwargs: Any) -> Any:
    model = getattr(cfg, "model", None)  # fairseq fails to say which one it does not know: KeyError: '_name'
    with _about_ours(str(getattr(model, "_name", None) or getattr(model, "arch", None))):
        return original(cfg, *args, **kwargs)


@contextlib.contextmanager
def _about_ours(model: str = "") -> Iterator[None]:
    """End the command in one line where an error is about what only the plugin has, or of a model of that."""
    try:
        yield
    except Exception as error:
        found = OURS.search(f"{model} {error}")
        if found is None or not _is_missing():
            raise
        _end(f"fairseq does not know {found[0]}; {_add()}")


def _is_missing() -> bool:
    return running_command() is not None and PLUGIN not in sys.modules


def _add() -> str:
    return ADD_IN_YAML if running_command() == "fairseq-hydra-train" else ADD


def _first(text: str) -> str:
    """Return argparse's message without the list of all names."""
    return re.sub(r" \(choose from .*", "", " ".join(text.split()))


def _end(text: str) -> None:
    sys.stderr.write(f"{running_command()}: error: {text}.\n")
    raise SystemExit(2) from None
