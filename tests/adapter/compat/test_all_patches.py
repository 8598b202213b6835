"""What holds for every patch: an explicit list, documented, detected, applied at most once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import fairseq
import pytest

from layerdrop_plugin.fairseq_adapter import compat

FOLDER = Path(compat.__file__).parent
ROOT = FOLDER.parents[2]
NAMES = [patch.__name__.rpartition(".")[2] for patch in compat.PATCHES]
patches = pytest.mark.parametrize("patch", compat.PATCHES, ids=NAMES)


def test_every_file_is_in_the_list():
    assert sorted(NAMES) == sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


@patches
def test_a_patch_names_its_symptom_and_answers_with_a_line(patch):
    assert patch.__doc__.strip()
    reason = patch.needed()
    assert reason is None or (isinstance(reason, str) and "\n" not in reason)


def patched():
    """What the patches put in place of fairseq's own."""
    from fairseq import checkpoint_utils, utils
    from fairseq.criterions.adaptive_loss import AdaptiveLoss
    from fairseq.data.iterators import BackgroundConsumer
    from fairseq.distributed import utils as distributed_utils
    from fairseq.models import distributed_fairseq_model
    from fairseq.models.bart import BARTModel
    from fairseq.modules import AdaptiveInput, AdaptiveSoftmax
    from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer
    from fairseq.tasks.denoising import DenoisingTask

    places = [utils.import_user_module, utils.__dict__.get("eval"), checkpoint_utils.torch, Layer.__init__]
    places += [Layer._load_from_state_dict, AdaptiveLoss.build_criterion.__func__]
    places += [AdaptiveInput.forward, AdaptiveSoftmax.forward]
    places += [distributed_utils.distributed_main, distributed_utils.call_main, BackgroundConsumer.run]
    places += [BARTModel.set_beam_size, DenoisingTask.add_args]
    return [*places, distributed_fairseq_model.DistributedDataParallel]


@patches
def test_applying_again_changes_nothing(patch):
    if patch.__name__.rpartition(".")[2] not in compat.ACTIVE:
        pytest.skip("nothing is at fault here")
    before = patched()
    patch.apply()
    assert patched() == before


def test_what_is_active_is_noted_with_its_reason():
    assert set(compat.ACTIVE) <= set(NAMES)
    assert all(compat.ACTIVE.values())
    compat.apply_all()
    assert set(compat.ACTIVE) <= set(NAMES)


def test_what_the_start_up_hook_loads_needs_nothing_else():
    """But for two files, which need nothing themselves."""
    hook = (ROOT / "layerdrop_plugin_startup.py").read_text()
    names = re.findall(r'"(\w+)"', hook.partition("class ")[0])
    assert len(names) == 8
    paths = [FOLDER / f"{name}.py" for name in names]
    paths += [FOLDER.parent / f"{name}.py" for name in ("hooks", "errors/running_command")]
    for path in paths:
        tree = ast.parse(path.read_text())
        at_import = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        ours = [node for node in at_import if isinstance(node, ast.ImportFrom) and node.level]
        assert {(node.level, node.module) for node in ours} <= {(2, "hooks"), (2, "errors.running_command")}
        others = [node for node in at_import if node not in ours]
        modules = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in others]
        if sys.version_info >= (3, 10):
            assert {module.split(".")[0] for module in modules} <= set(sys.stdlib_module_names)


FOREIGN = """
import functools
hook.AFTER_FAIRSEQ = ()  # the patches of the hook would come first
from fairseq import utils
from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.data.iterators import BackgroundConsumer
from fairseq.distributed import utils as distributed_utils
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase as Layer

def decorated(function):
    @functools.wraps(function)
    def foreign(*args, **kwargs):
        return function(*args, **kwargs)
    return foreign

places = [(utils, "import_user_module"), (distributed_utils, "call_main"), (distributed_utils, "distributed_main")]
places += [(BackgroundConsumer, "run"), (Layer, "__init__")]
for owner, name in places:
    setattr(owner, name, decorated(getattr(owner, name)))
AdaptiveLoss.build_criterion = classmethod(decorated(AdaptiveLoss.build_criterion.__func__))
import layerdrop_plugin
from layerdrop_plugin.fairseq_adapter import compat
from layerdrop_plugin.fairseq_adapter.hooks import PATCHES
places.append((AdaptiveLoss.build_criterion, "__func__"))
print(*compat.ACTIVE)
for owner, name in places:
    print(name, *getattr(getattr(owner, name), PATCHES, ()))
"""


@pytest.mark.slow
def test_a_decorator_of_somebody_else_switches_no_patch_off(tmp_path):
    code = f"import sys; sys.path.append({str(ROOT)!r}); import layerdrop_plugin_startup as hook\n{FOREIGN}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    active, *lines = (line.split() for line in done.stdout.splitlines())
    expected = [
        ["import_user_module", "user_dir_lookup._import_user_module"],
        ["call_main", "spawned_worker_errors._call_main", "late_user_dir._call_main", "missing_user_dir._call_main"],
        ["distributed_main", "process_group_end._distributed_main"],
        ["run", "reading_ahead._run"],
        ["__init__", "encoder_fastpath._init", "encoder_weight_copies._init"],
        ["__func__", "adaptive_loss_backend._build_criterion"],
    ]
    for (place, *found), (same_place, *patches) in zip(lines, expected):
        wanted = [f"compat.{patch}" for patch in patches if patch.partition(".")[0] in active]
        assert (place, [patch for patch in found if patch.startswith("compat.")]) == (same_place, wanted)
    assert len(lines) == len(expected)
    assert "user_dir_lookup" in active


@pytest.mark.skipif(fairseq.__version__ != "0.12.2", reason="other versions have other faults")
def test_the_faults_of_0_12_2_are_all_found():
    """Those of fairseq's own, whatever Python, torch and numpy are beside it."""
    faults = {
        *("user_dir_lookup", "adaptive_loss_backend", "encoder_weight_copies", "missing_history", "model_archives"),
        *("checkpoint_saving", "reading_ahead", "repeated_ngrams", "pretrained_bart_task", "spawned_worker_errors"),
        *("late_user_dir", "option_evaluation", "layers_to_keep_option", "beam_in_training", "denoising_options"),
    }
    assert faults - set(compat.ACTIVE) == set()
