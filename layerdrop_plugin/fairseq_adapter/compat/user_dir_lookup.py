"""`--user-dir layerdrop_plugin` fails away from the checkout: FileNotFoundError, or "not globally unique".

A folder that does not exist ends fairseq's commands with a traceback.

fairseq 0.12.2, any Python. It looks for a relative path in the working directory, which fairseq-hydra-train changes,
and then beside itself. An editable install is in neither place. And by a path, fairseq does not recognize the module
that `import layerdrop_plugin` has already loaded. layerdrop_plugin_startup applies this patch as soon as fairseq is
imported.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from importlib.util import find_spec
from typing import Any

from ..errors.running_command import running_command
from ..hooks import wrap

PACKAGE = "layerdrop_plugin"


def needed() -> str | None:
    """Return the reason, where fairseq looks beside itself by a path with `..` in it."""
    from fairseq import utils

    if ".." in inspect.unwrap(utils.import_user_module).__code__.co_consts:
        return "fairseq looks for --user-dir in the working directory and beside itself only"
    return None


def apply() -> None:
    """Let the name of this package stand for the folder in which Python finds it."""
    from fairseq import utils

    wrap(utils, "import_user_module", _import_user_module)


def _import_user_module(original: Any, args: Any) -> None:
    folder = _folder() if getattr(args, "user_dir", None) == PACKAGE else None
    try:
        original(args if folder is None else argparse.Namespace(user_dir=folder))
    except (FileNotFoundError, ModuleNotFoundError) as error:
        command = running_command()
        why = _why_not(args.user_dir, error)
        if why is None or command is None:
            raise
        rule = "`--user-dir` must be the folder of a Python package"
        sys.stderr.write(f"{command}: error: {rule}, but {args.user_dir!r} {why}.\n")
        raise SystemExit(2) from None


def _why_not(path: str, error: Exception) -> str | None:
    """Say why a path is no package; None where the error is of the package itself."""
    if not os.path.exists(path):
        return "does not exist"
    name = os.path.basename(path.rstrip("/"))
    return "is a file" if os.path.isfile(path) and getattr(error, "name", None) == name.partition(".")[0] else None


def _folder() -> str | None:
    """Where the package is, or None where fairseq's own rule holds: a checkout in the working directory."""
    if PACKAGE not in sys.modules and os.path.isfile(os.path.join(PACKAGE, "__init__.py")):
        return None
    spec = find_spec(PACKAGE)
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)
