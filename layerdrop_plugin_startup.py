"""Patches fairseq at the moment it is imported, so that its own commands start on Python 3.11 and newer.

`fairseq-train` imports fairseq before it reads --user-dir, so this runs at interpreter start, from a .pth file.
It must stay cheap where fairseq is not used, hence the few imports, and it must not import `layerdrop_plugin`:
fairseq refuses a --user-dir that was imported from elsewhere. It loads the patches' files under its own name instead.
"""

import sys

BEFORE_FAIRSEQ = ("mutable_defaults", "notices")
AFTER_FAIRSEQ = (
    "user_dir_lookup",
    "process_group_end",
    "spawned_worker_errors",
    "late_user_dir",
    "missing_user_dir",
    "hydra_warnings",
)  # too late with the user dir


class FairseqFinder:
    """Finds fairseq as the other finders do, and patches it around its execution; is blind to every other module."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """Return fairseq's module spec with a loader that patches it; None for every other module."""
        if name != "fairseq":
            return None
        others = (finder for finder in sys.meta_path if finder is not cls and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            _patch_around_execution(spec.loader)
        return spec


def _patch_around_execution(loader):
    execute = loader.exec_module

    def exec_module(module):
        from contextlib import suppress

        _apply(BEFORE_FAIRSEQ)
        execute(module)
        with suppress(ImportError, AttributeError):  # another fairseq, say 0.10 or a part of it: not ours to patch
            _apply(AFTER_FAIRSEQ)

    loader.exec_module = exec_module


def _apply(names):
    import os
    from importlib import import_module
    from types import ModuleType

    adapter = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layerdrop_plugin", "fairseq_adapter")
    if not os.path.isdir(adapter):
        return  # this file was left behind alone
    sys.modules[__name__].__path__ = [adapter]
    patches = sys.modules.setdefault(__name__ + ".compat", ModuleType(__name__ + ".compat"))
    patches.__path__ = [os.path.join(adapter, "compat")]
    for name in names:
        patch = import_module(f"{__name__}.compat.{name}")
        if patch.needed():
            patch.apply()


if FairseqFinder not in sys.meta_path:
    sys.meta_path.insert(0, FairseqFinder)
