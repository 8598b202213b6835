"""Parse each option once: fairseq hands Hydra some 250 for a configuration, most of them the same each time."""

from __future__ import annotations

import copy
import functools

from hydra.core.override_parser.overrides_parser import OverridesParser


def remember():
    """Let Hydra's parser remember what it has parsed, in this process and in its forks."""
    original = OverridesParser.parse_rule
    parsed = functools.cache(lambda text, rule: original(OverridesParser.create(), text, rule))

    def parse_rule(self, s, rule_name):
        return copy.copy(parsed(s, rule_name))  # Hydra sets an attribute

    OverridesParser.parse_rule = parse_rule
