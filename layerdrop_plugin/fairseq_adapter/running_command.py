"""Which command runs, if one does: one ends with a line for what its user got wrong, a program gets an exception.

Who called decides, not the name of the script: a program of a user's own may be called `fairseq-notebook.py`.
"""

import os
import sys
from types import CodeType
from typing import Optional

OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cli")
WORKERS = os.path.join("fairseq", "distributed", "utils.py")


def running_command() -> Optional[str]:
    """Return the name of the command whose function called this one, such as fairseq-train; None where none did.

    A worker that fairseq has started is a command, too; it goes by the name of the script.
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = _name(frame.f_code)
        if name is not None:
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _name(code: CodeType) -> Optional[str]:
    folder, file = os.path.split(code.co_filename)
    command = file.rpartition(".")[0].replace("_", "-")
    if code.co_name in ("cli_main", "hydra_main") and os.path.basename(folder) == "fairseq_cli":
        return f"fairseq-{command}"
    if code.co_name == "main" and os.path.abspath(folder) == OURS:
        return f"layerdrop-{command}"
    if code.co_name == "distributed_main" and code.co_filename.endswith(WORKERS):
        return os.path.basename(sys.argv[0] if sys.argv else "")
    return None
