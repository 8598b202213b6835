"""`--encoder-layers-to-keep 0,2` crashes on stock `transformer`: 'list' object has no attribute 'split'.

fairseq 0.12.2 and main: the option is declared as a list of ints, so the command line makes one,
and `build_model` splits a string. Declared as a string, it also takes our specifications.
"""

from typing import Any, List, Optional


def needed() -> Optional[str]:
    from fairseq.models.transformer.transformer_config import EncDecBaseConfig

    if EncDecBaseConfig.__dataclass_fields__["layers_to_keep"].type == Optional[List[int]]:
        return "fairseq declares `layers_to_keep` as a list of ints and splits a string"
    return None


def apply() -> None:
    from fairseq.models.transformer.transformer_config import EncDecBaseConfig

    EncDecBaseConfig.__dataclass_fields__["layers_to_keep"].type = Any
