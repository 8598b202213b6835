"""Builds the real model of each YAML in configs/ and takes one update with it on CPU; needs no data.

The dictionary has the size of the real one, and the update is that of fairseq's trainer, with LayerDrop, on 64
made-up tokens. Each model gets a process of its own, so that the peak of memory is its own. Prints a table.

Example: python scripts/benchmarks/full_size.py --only roberta_base
"""

from __future__ import annotations

import argparse
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs"
ON_CPU = ("common.cpu=true", "common.fp16=false", "distributed_training.distributed_world_size=1")

# Types of the dictionary, with fairseq's special symbols, and kept layers: ENCODER+DECODER, or of the only stack.
MODELS = {
    "wmt16_en_de": (32768, ("every_other:3+every_other:3",)),
    "wmt16_en_de_12_6": (32768, ("every_other:6+every_other:3",)),
    "wikitext103": (267744, ("drop:0.2", "every_other:8")),
    "wikitext103_40": (267744, ("every_other:20",)),
    "roberta_base": (50265, ("every_other:6", "every_other:3")),
    "roberta_large": (50265, ("every_other:12",)),
    "roberta_48": (50265, ("every_other:24", "every_other:12")),
    "cnn_dm": (32008, ("every_other:3+every_other:3",)),
    "cnn_dm_6_8": (32008, ("every_other:3+every_other:4",)),
    "eli5": (32008, ("every_other:3+every_other:3",)),
}
TINY = {
    "translation": (100, ("every_other:2+every_other:2",)),
    "language_model": (100, ("every_other:2",)),
    "roberta": (100, ("every_other:2",)),
}
TWO_DICTIONARIES = ("translation", "sentence_prediction")
HEADER = """\
| configs/ | dictionary | layers | parameters | pruned: parameters | layers that ran | loss | seconds | peak memory |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", choices=[*MODELS, *TINY], help="one of the models, in this process")
    parser.add_argument("--tiny", action="store_true", help="the models of configs/tiny instead")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    print(HEADER, flush=True)
    if args.only:
        print(row(args.only, measure(args.only)))
        return
    for name in TINY if args.tiny else MODELS:
        print(f"{name} ...", file=sys.stderr)
        command = [sys.executable, "-W", "ignore", __file__, "--only", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout.splitlines()[-1], flush=True)


def compose(name: str, *overrides: str, folder: Path = CONFIGS):
    """Return a YAML's configuration as `fairseq-hydra-train --config-dir FOLDER --config-name NAME` reads it."""
    from fairseq.dataclass.initialize import add_defaults, hydra_init
    from fairseq.dataclass.utils import omegaconf_no_object_check
    from hydra.core.global_hydra import GlobalHydra
    from hydra.experimental import compose as read
    from hydra.experimental import initialize_config_dir
    from omegaconf import OmegaConf

    hydra_init(name)
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(folder)):
        cfg = read(name, overrides=list(overrides))
    add_defaults(cfg)
    with omegaconf_no_object_check():
        cfg = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    OmegaConf.set_struct(cfg, True)
    return cfg


def make_task(cfg, types: int):
    """Return fairseq's task with a dictionary in memory."""
    from fairseq.data import Dictionary
    from fairseq.tasks import TASK_REGISTRY

    dictionary = Dictionary()
    adds_mask = cfg._name == "masked_lm"
    for word in range(types - len(dictionary) - adds_mask):
        dictionary.add_symbol(f"w{word}")
    dictionaries = [dictionary, dictionary] if cfg._name in TWO_DICTIONARIES else [dictionary]
    return TASK_REGISTRY[cfg._name](cfg, *dictionaries)


def make_batch(task, name: str) -> dict:
    """Return a batch of four sentences of 16 made-up tokens for a task."""
    import torch

    words, generator = task.source_dictionary, torch.Generator().manual_seed(1)

    def sentences():
        return torch.randint(words.nspecial, len(words), (4, 16), generator=generator)

    source, target = sentences(), sentences()
    inputs = {"src_tokens": source, "src_lengths": torch.full((4,), 16)}
    if name == "translation":
        inputs["prev_output_tokens"] = target.roll(1, dims=1)
    elif name == "masked_lm":
        target = torch.full_like(source, words.pad())  # what is not masked is not predicted
        target[:, ::8] = source[:, ::8]
        inputs["src_tokens"] = source.masked_fill(target != words.pad(), task.mask_idx)
    return {"id": torch.arange(4), "nsentences": 4, "ntokens": 64, "net_input": inputs, "target": target}


def measure(name: str) -> dict:
    """Build a model, take one update, and return what the table shows."""
    from fairseq import utils
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer

    import layerdrop_plugin  # noqa: F401  registers
    from layerdrop_plugin import state_dict

    types, specs = {**MODELS, **TINY}[name]
    cfg = compose(name, "task.data=none", *ON_CPU, folder=CONFIGS / "tiny" if name in TINY else CONFIGS)
    task = make_task(cfg.task, types)
    utils.set_torch_seed(cfg.common.seed)
    model = task.build_model(cfg.model)
    parameters = dict(model.named_parameters())
    ran = count_runs(model)
    trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
    trainer.get_lr()  # makes the optimizer and the schedule, for which torch imports for seconds
    batch = make_batch(task, cfg.task._name)
    start = time.monotonic()
    with metrics.aggregate(new_root=True) as values:
        trainer.train_step([batch])
    seconds = time.monotonic() - start
    return {
        "types": len(task.source_dictionary),
        "depths": list(state_dict.depths(parameters).values()),
        "parameters": sum(p.numel() for p in parameters.values()),
        "pruned": [pruned(parameters, spec) for spec in specs],
        "ran": [sum(runs) for runs in ran],
        "loss": values.get_smoothed_values()["loss"],
        "seconds": seconds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def count_runs(model) -> list[list[int]]:
    """Return for each stack a list of counters, which go up as the stack's layers run."""
    from layerdrop_plugin.dropping import LayerDropStack

    counters = []
    for stack in (module for module in model.modules() if isinstance(module, LayerDropStack)):
        runs = [0] * len(stack)
        counters.append(runs)
        for index in range(len(stack)):
            stack[index].register_forward_hook(
                lambda *_, runs=runs, index=index: runs.__setitem__(index, runs[index] + 1)
            )
    return counters


def pruned(parameters: dict, spec: str) -> tuple[list[int], int]:
    """Return the depths that a specification leaves, and how many parameters."""
    from layerdrop_plugin import layer_spec, state_dict

    depths = state_dict.depths(parameters)
    kept = {stack: layer_spec.parse(part, depths[stack]) for stack, part in zip(depths, spec.split("+"))}
    left = state_dict.prune(parameters, kept)
    return [len(layers) for layers in kept.values()], sum(p.numel() for p in left.values())


def row(name: str, found: dict) -> str:
    """Return one line of the table."""

    def plus(numbers):
        return "+".join(map(str, numbers))

    smaller = "; ".join(f"{plus(depths)}: {count:,}" for depths, count in found["pruned"])
    cells = [f"`{name}`", f"{found['types']:,}", plus(found["depths"]), f"{found['parameters']:,}", smaller]
    cells += [plus(found["ran"]), f"{found['loss']:.2f}", f"{found['seconds']:.1f}", f"{found['peak'] / 1e9:.1f} GB"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
