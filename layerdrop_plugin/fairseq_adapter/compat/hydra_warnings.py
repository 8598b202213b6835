"""Every command begins with a page of Hydra's deprecation warnings, about calls that fairseq makes.

fairseq 0.12.2 and main with hydra-core 1.1 and newer. A user can do nothing about these warnings. fairseq-hydra-train
warns before it reads the user dir, so layerdrop_plugin_startup applies this patch as soon as fairseq is imported.
"""

from __future__ import annotations

import inspect
import warnings

MESSAGES = (
    r"hydra\.experimental\.(initialize|compose)\(\) is no longer experimental",
    "The version_base parameter is not specified",
    "The strict flag in the compose API is deprecated",
    "In '.*': Usage of deprecated keyword in package header",
    "Future Hydra versions will no longer change working directory",
    "'.*' is validated against ConfigStore schema with the same name",
)


def needed() -> str | None:
    """Return the reason, where Hydra asks for the `version_base` that fairseq does not pass."""
    import hydra

    if "version_base" in inspect.signature(hydra.main).parameters:
        return "Hydra warns of the calls that fairseq makes"
    return None


def apply() -> None:
    """Ignore these warnings, and no others."""
    for message in MESSAGES:
        warnings.filterwarnings("ignore", rf"\s*{message}", UserWarning)
