"""What fairseq and torch say of their own is left out, and nothing else."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest

from layerdrop_plugin.fairseq_adapter.compat import notices


def test_the_package_that_only_one_task_wants(caplog):
    notices.apply()
    notices.apply()
    logger = logging.getLogger(notices.ASKS)
    with caplog.at_level(logging.INFO):
        logger.info("Please install tensorboardX: pip install tensorboardX")
        logger.info("what else it says")
    assert caplog.messages == ["what else it says"]
    assert len([there for there in logger.filters if there.__name__ == "_is_for_the_user"]) == 1


@pytest.mark.parametrize("kind", [UserWarning, FutureWarning])
def test_warnings(kind):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notices.apply()
        warnings.warn("'pin_memory' argument is set as true but no accelerator is found, then ...", kind, stacklevel=1)
        warnings.warn("`torch.cuda.amp.autocast(args...)` is deprecated. Please ...", kind, stacklevel=1)
        warnings.warn("another one", kind, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["another one"]


@pytest.mark.slow
def test_the_start_up_hook_applies_it_before_fairseq_is_imported(tmp_path):
    code = "import logging; logging.basicConfig(level='INFO'); import fairseq"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
