"""Command lines that are wrong, and what the command says: a row for each.

A row is the command, its arguments as a shell would split them, and what follows `COMMAND: error: ` on standard error.
A name in braces stands for a path or a long value: see `test_wrong_command_lines.py`.
"""

from typing import List, Tuple

Row = Tuple[str, str, str]

LAYERS = (
    "indices from 0 as in '0,2,4' or '0-3,8', 'every_other:K', 'first:K', 'last:K', 'learned:K', or 'drop:P' with "
    "0 < P <= 0.5"
)
SHARD = "must be a whole checkpoint, but {shard} is one of several shards"
JOIN = "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them"
DEPTHS = "`--depths` must be numbers of layers from 1 as in 12,6,3, or of encoder and decoder as in 12+6,6+3, but is"

SEARCH = "{lm_data} --path {lm} --keep 2 --cpu"
EXPORT = "{translation} --to ctranslate2 out --data {translation_data}"

ROWS: List[Row] = [
    (
        "layerdrop-average",
        "--inputs {lm} {nines} --output out.pt",
        "`--inputs` must be the file of a checkpoint, but {cut} does not exist.",
    ),
    (
        "layerdrop-average",
        "--inputs {lm} --output {nines}",
        "`--output` must be a file that can be written, but {cut} can't: File name too long.",
    ),
    (
        "layerdrop-average",
        "--inputs {empty_folder} --num-epoch-checkpoints {nines} --output out.pt",
        "argument --num-epoch-checkpoints: must be a whole number of at most 18 digits, but is {quoted_cut} instead.",
    ),
    (
        "layerdrop-average",
        "--inputs {lm} {not_utf8} --output out.pt",
        "`--inputs` must be in UTF-8, but is 'a\\udcff.pt' instead.",
    ),
    (
        "layerdrop-average",
        "--inputs {lm} --output {not_utf8}",
        "`--output` must be in UTF-8, but is 'a\\udcff.pt' instead.",
    ),
    ("layerdrop-describe", "{nines}", "`CKPT` must be the file of a checkpoint, but {cut} does not exist."),
    ("layerdrop-describe", "{escapes}", "`CKPT` must be the file of a checkpoint, but \\x1b[2J does not exist."),
    ("layerdrop-describe", "{not_utf8}", "`CKPT` must be in UTF-8, but is 'a\\udcff.pt' instead."),
    ("layerdrop-describe", "{lm} --json {not_utf8}", "`--json` must be in UTF-8, but is 'a\\udcff.pt' instead."),
    (
        "layerdrop-export",
        EXPORT + " --source-lang ''",
        "`--source-lang` must name something or be left out, but is '' instead.",
    ),
    (
        "layerdrop-export",
        EXPORT + " --target-lang ''",
        "`--target-lang` must name something or be left out, but is '' instead.",
    ),
    (
        "layerdrop-export",
        "{translation} --to ctranslate2 out --data ''",
        "`--data` must name something or be left out, but is '' instead.",
    ),
    (
        "layerdrop-export",
        "{roberta} --to huggingface out --head ''",
        "`--head` must name something or be left out, but is '' instead.",
    ),
    (
        "layerdrop-export",
        "{translation} --to {nines} out",
        "argument --to: invalid choice: {quoted_cut} (choose from 'ctranslate2', 'huggingface')",
    ),
    (
        "layerdrop-export",
        "{translation} --to ctranslate2 {not_utf8}",
        "`OUT` must be in UTF-8, but is 'a\\udcff.pt' instead.",
    ),
    (
        "layerdrop-export",
        EXPORT + " --source-lang {not_utf8}",
        "`--source-lang` must be in UTF-8, but is 'a\\udcff.pt' instead.",
    ),
    (
        "layerdrop-prune",
        "{lm} -o out.pt --decoder {nines}",
        f"`--decoder` must be {LAYERS}, but is {{quoted_cut}} instead.",
    ),
    ("layerdrop-prune", "{lm} -o out.pt --decoder '\uff10'", f"`--decoder` must be {LAYERS}, but is '\uff10' instead."),
    ("layerdrop-prune", "{lm} -o out.pt --decoder [0", f"`--decoder` must be {LAYERS}, but is '[0' instead."),
    (
        "layerdrop-prune",
        "{lm} -o {nines} --decoder 0",
        "`--output` must be a file that can be written, but {cut} can't: File name too long.",
    ),
    ("layerdrop-prune", "{lm} -o {not_utf8} --decoder 0", "`--output` must be in UTF-8, but is 'a\\udcff.pt' instead."),
    ("layerdrop-prune", "{shard} -o out.pt --decoder 0", f"`CKPT` {SHARD}; {JOIN}."),
    ("layerdrop-search", "{lm_data} --path {shard} --keep 2 --cpu", f"`--path` {SHARD}; {JOIN}."),
    (
        "layerdrop-search",
        "{lm_data} --path {lm} --keep {nines} --cpu",
        "argument --keep: must be a whole number of at most 18 digits, but is {quoted_cut} instead.",
    ),
    (
        "layerdrop-search",
        SEARCH + " --state {brackets} --resume",
        "`--state` must be the state of an interrupted search, but {brackets} is none.",
    ),
    (
        "layerdrop-search",
        SEARCH + " --state {brackets}",
        "`--state` must be the state of an interrupted search, but {brackets} is none.",
    ),
    ("layerdrop-sweep", "{lm_data} --path {shard} --cpu", f"`--path` {SHARD}; {JOIN}."),
    ("layerdrop-sweep", "{lm_data} --path {lm} --compare {shard} --cpu", f"`--path` {SHARD}; {JOIN}."),
    ("layerdrop-sweep", "{lm_data} --path {lm} --cpu --depths {nines}", f"{DEPTHS} {{quoted_cut}} instead."),
    (
        "layerdrop-sweep",
        "{lm_data} --path {lm} --cpu --repeats {nines}",
        "argument --repeats: must be a whole number of at most 18 digits, but is {quoted_cut} instead.",
    ),
    ("fairseq-generate", "{translation_data} --path {shard} --cpu", f"`--path` {SHARD}; {JOIN}."),
]
