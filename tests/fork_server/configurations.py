"""Compose each configuration once: for a command, fairseq lets Hydra put one together of some twenty parts.

Few options choose the parts, such as `task=translation`; the other 250 set one value each, which takes a tenth of it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types

import hydra._internal.utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import open_dict


def remember():
    """Let Hydra remember, in this process and in its forks, what it composed of parts before values were set."""
    if not hasattr(ConfigLoaderImpl, "_load_configuration_impl"):
        return  # Hydra 1.0
    load, store, remembered = ConfigLoaderImpl.load_configuration, ConfigStore.store, {}

    @functools.wraps(load)
    def load_configuration(self, config_name, overrides, run_mode, from_shell=True, **settings):
        given = {"run_mode": run_mode, "from_shell": from_shell, **settings}
        parsed = OverridesParser.create().parse_overrides(overrides)
        if from_shell or not all(map(is_plain, parsed)):  # from a shell, Hydra's own configuration is wanted too
            return load(self, config_name, overrides, **given)
        parts, values = [], []
        for each in parsed:
            (parts if is_part(each, self.repository) else values).append(each)
        lines = tuple(each.input_line for each in parts)
        key = (config_name, lines, str(self.get_search_path()), *given.items())
        if key not in remembered:
            remembered[key] = load(self, config_name, list(lines), **given)
            with open_dict(remembered[key]):
                del remembered[key]["hydra"]
        composed = copy.deepcopy(remembered[key])
        self._apply_overrides_to_config(values, composed)
        return composed

    @functools.wraps(store)
    def store_anew(self, name, node, group=None, **settings):
        path = f"{group or ''}/{name}.yaml"
        before = self._open(path)
        store(self, name, node, group, **settings)
        if before is not None and before != self._open(path):
            remembered.clear()

    ConfigLoaderImpl.load_configuration, ConfigStore.store = load_configuration, store_anew
    ConfigStore.__deepcopy__ = lambda self, memo: self  # there is one; Hydra would copy all that it holds each time
    hydra._internal.utils.inspect = types.SimpleNamespace(**{**vars(inspect), "stack": frames})


def frames():
    """Return the frames of who calls, as `inspect.stack` does, which goes through all modules for their sources."""
    found, frame = [], inspect.currentframe().f_back
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


def is_plain(override):
    """Whether it is NAME=VALUE, without any of Hydra's signs, for fairseq's configuration."""
    return (
        override.type is OverrideType.CHANGE
        and override.package is None
        and not override.is_sweep_override()
        and not override.is_hydra_override()
    )


def is_part(override, repository):
    """Whether it chooses a part, and doesn't set a value."""
    name = override.key_or_group
    return "." not in name and not isinstance(override.value(), dict) and repository.group_exists(name)
