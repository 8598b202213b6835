"""What holds for every mend: an explicit list, documented, detected, applied at most once."""

import ast
import re
import sys
from pathlib import Path

import pytest

from layerdrop_plugin.fairseq_adapter import compat

FOLDER = Path(compat.__file__).parent
NAMES = [mend.__name__.rpartition(".")[2] for mend in compat.MENDS]
mends = pytest.mark.parametrize("mend", compat.MENDS, ids=NAMES)


def test_every_file_is_in_the_list():
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


@mends
def test_a_mend_names_its_symptom_and_answers_with_a_line(mend):
    assert mend.__doc__.strip()
    reason = mend.needed()
    assert reason is None or (isinstance(reason, str) and "\n" not in reason)


def mended():
    """What the mends put in place of fairseq's own."""
    from fairseq import checkpoint_utils, utils
    from fairseq.criterions.adaptive_loss import AdaptiveLoss
    from fairseq.data.iterators import BackgroundConsumer
    from fairseq.distributed import utils as distributed_utils
    from fairseq.models import distributed_fairseq_model
    from fairseq.modules import AdaptiveInput, AdaptiveSoftmax
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

    places = [utils.import_user_module, utils.__dict__.get("eval"), checkpoint_utils.torch, Layer.__init__]
    places += [Layer._load_from_state_dict, AdaptiveLoss.build_criterion.__func__]
    places += [AdaptiveInput.forward, AdaptiveSoftmax.forward]
    places += [distributed_utils.distributed_main, distributed_utils.call_main, BackgroundConsumer.run]
    return [*places, distributed_fairseq_model.DistributedDataParallel]


@mends
def test_applying_again_changes_nothing(mend):
    before = mended()
    mend.apply()
    assert all(now is then for now, then in zip(mended(), before))


def test_what_is_active_is_noted_with_its_reason():
    assert set(compat.ACTIVE) <= set(NAMES)
    assert all(compat.ACTIVE.values())
    compat.apply_all()
    assert set(compat.ACTIVE) <= set(NAMES)


def test_what_the_start_up_hook_loads_is_self_contained():
    hook = (FOLDER.parents[2] / "layerdrop_plugin_startup.py").read_text()
    for name in re.findall(r'"(\w+)"', "".join(re.findall(r"^(?:BEFORE|AFTER)_.*$", hook, re.MULTILINE))):
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        at_import = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in at_import]
        if sys.version_info >= (3, 10):
            assert {module.split(".")[0] for module in modules} <= set(sys.stdlib_module_names)
        assert not any("layerdrop_plugin" in module for module in modules)
