"""Command lines that are wrong, and what the command says: a row for each.

A row is the command, its arguments as a shell would split them, and what follows `COMMAND: error: ` on standard error.
A name in braces stands for a path or a long value: see `test_wrong_command_lines.py`. Those with a wrong
--model-overrides are in wrong_overrides.py.
"""

from __future__ import annotations

from shared.grammar import LAYERS

Row = tuple[str, str, str]

SHARD = "must be a whole checkpoint, but {shard} is one of several shards"
JOIN = "fairscale's FullyShardedDataParallel.consolidate_shard_weights makes one model of them"
DEPTHS = "`--depths` must be numbers of layers from 1 as in 12,6,3, or of encoder and decoder as in 12+6,6+3, but is"

SEARCH = "{lm_data} --path {lm} --keep 2 --cpu"
SWEEP = "{lm_data} --path {lm} --cpu"
EXPORT = "{translation} --to ctranslate2 out --data {translation_data}"
OURS = "--user-dir layerdrop_plugin --cpu"
MODEL = (
    f"--arch layerdrop_transformer {OURS} --encoder-layers 4 --encoder-embed-dim 16 --encoder-ffn-embed-dim 24 "
    "--decoder-layers 4 --decoder-ffn-embed-dim 24 --encoder-attention-heads 2 --decoder-attention-heads 2 "
    "--share-all-embeddings --optimizer adam --lr 0.01 --max-update 14 --num-workers 0"
)
TRAIN = f"{MODEL} --max-tokens 300"
GENERATE = f"{{translation_data}} --path {{translation}} {OURS}"
VALIDATE = f"{{translation_data}} --path {{translation}} --task translation --max-tokens 300 {OURS}"
EVAL_LM = f"{{lm_data}} --path {{lm}} {OURS}"
NO_PATH = "`--path` must be the file of a checkpoint, but is missing."
NO_DATA = "the following arguments are required: data"
NO_PAIR = "fairseq refuses DATA or an option of the task: Could not infer language pair, please provide it explicitly"
NO_DICTIONARY = "`DATA` must hold the task's dictionaries, but {empty_folder}/dict.txt is missing."
NO_SPLIT = "`DATA` must hold each split that is asked for, but: Dataset not found: nosuch"
LARGE = "must be at most 9223372036854775807 for fairseq, but is 9223372036854775808 instead."
UTF8 = "must be in UTF-8, but is 'a\\udcff.pt' instead."
USER_DIR = "`--user-dir` must name the folder that defines"
NOT_THERE = "fairseq has none of that name."
REFUSED = "fairseq refuses what it was given"
MISFIT = (
    'the weights of {lm} must fit the model, but: Missing key(s) in state_dict: "encoder.embed_tokens.weight" and 104 '
    "more."
)
NOT_A_FILE = "`--restore-file` must be the file of a checkpoint, but {missing} does not exist."
KINDS = "`--path` must be models of one kind, but {translation} is an encoder with a decoder,"
ODD = "embed_dim must be divisible by num_heads"


ROWS: list[Row] = [
    (
        "layerdrop-average",
        "--inputs {lm} {nines} --output out.pt",
        "`--inputs` must be the file of a checkpoint, but {cut} does not exist.",
    ),
    (
        "layerdrop-average",
        "--inputs {lm} --output {nines}",
        "`--output` must be a file that can be written, but {cut} can't be: File name too long.",
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
        "`--output` must be a file that can be written, but {cut} can't be: File name too long.",
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
        "`--state` must be a file that a search keeps its scores in, but {brackets} is not.",
    ),
    (
        "layerdrop-search",
        SEARCH + " --state {brackets}",
        "`--state` must be a file that a search keeps its scores in, but {brackets} is not.",
    ),
    ("layerdrop-sweep", "{lm_data} --path {shard} --cpu", f"`--path` {SHARD}; {JOIN}."),
    ("layerdrop-sweep", "{lm_data} --path {lm} --compare {shard} --cpu", f"`--path` {SHARD}; {JOIN}."),
    ("layerdrop-sweep", "{lm_data} --path {lm} --cpu --depths {nines}", f"{DEPTHS} {{quoted_cut}} instead."),
    (
        "layerdrop-sweep",
        "{lm_data} --path {lm} --cpu --repeats {nines}",
        "argument --repeats: must be a whole number of at most 18 digits, but is {quoted_cut} instead.",
    ),
    # DATA
    ("layerdrop-search", "--path {lm} --keep 2 --cpu", NO_DATA),
    ("layerdrop-search", "'' --path {lm} --keep 2 --cpu", "`DATA` must be the folder of the data, but is '' instead."),
    ("layerdrop-search", "{empty_folder} --path {lm} --keep 2 --cpu", NO_DICTIONARY),
    ("layerdrop-search", "{empty_folder} --path {translation} --keep 2 --cpu", NO_PAIR),
    ("layerdrop-search", "{lm_data} -- --path {lm} --keep 2", "the following arguments are required: --path"),
    ("fairseq-train", TRAIN, NO_DATA),
    ("fairseq-train", f"'' {TRAIN}", "`DATA` must be the folder of the data, but is '' instead."),
    ("fairseq-train", f"{{missing}} {TRAIN}", "`DATA` must hold the task's dictionaries, but {missing} is missing."),
    ("fairseq-train", f"{{empty_folder}} {TRAIN}", NO_PAIR),
    (
        "fairseq-train",
        f"{OURS} -- {{translation_data}} {MODEL}",
        "`--arch` must be the name of an architecture, but is missing.",
    ),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --valid-subset nosuch", f"{NO_SPLIT} ({{translation_data}})"),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --train-subset nosuch", f"{NO_SPLIT} ({{translation_data}})"),
    ("fairseq-generate", f"--path {{translation}} {OURS}", NO_DATA),
    ("fairseq-generate", f"{{empty_folder}} --path {{translation}} {OURS}", NO_PAIR),
    ("fairseq-generate", f"{GENERATE} --gen-subset nosuch", f"{NO_SPLIT} ({{translation_data}})"),
    (
        "fairseq-generate",
        f"{OURS} -- {{translation_data}} --path {{translation}}",
        "unrecognized arguments: --path {translation}",
    ),
    ("fairseq-interactive", f"{{empty_folder}} --path {{translation}} {OURS}", NO_PAIR),
    ("fairseq-validate", f"{{empty_folder}} --path {{translation}} --task translation --max-tokens 9 {OURS}", NO_PAIR),
    ("fairseq-eval-lm", f"{{empty_folder}} --path {{lm}} {OURS}", NO_DICTIONARY),
    ("fairseq-eval-lm", f"{EVAL_LM} --gen-subset nosuch", f"{NO_SPLIT} ({{lm_data}}/nosuch)"),
    # --path and its kin
    ("fairseq-generate", f"{{translation_data}} {OURS}", NO_PATH),
    ("fairseq-interactive", f"{{translation_data}} {OURS}", NO_PATH),
    ("fairseq-validate", f"{{translation_data}} --task translation --max-tokens 300 {OURS}", NO_PATH),
    (
        "fairseq-validate",
        f"{{translation_data}} --path {{translation}} {OURS}",
        "`--task` must be the name of a task, but is missing.",
    ),
    ("fairseq-eval-lm", f"{{lm_data}} {OURS}", NO_PATH),
    (
        "fairseq-generate",
        f"{{translation_data}} --path {{translation}}:{{lm}} {OURS}",
        f"{KINDS} {{lm}} a language model.",
    ),
    (
        "fairseq-interactive",
        f"{{translation_data}} --path {{translation}}:{{roberta}} {OURS}",
        f"{KINDS} {{roberta}} an encoder.",
    ),
    ("fairseq-generate", f"{GENERATE} --results-path {{lm}}/x", "the system refuses '{lm}/x': Not a directory"),
    ("fairseq-generate", f"{GENERATE} --path {{not_utf8}}", f"`--path` {UTF8}"),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --save-dir {{not_utf8}}", f"`--save-dir` {UTF8}"),
    ("fairseq-train", f"{{not_utf8}} {TRAIN}", f"`DATA` {UTF8}"),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --save-dir {{lm}}/x",
        "`--save-dir` must be a folder that can be written, but {lm}/x can't be: Not a directory.",
    ),
    (
        "layerdrop-search",
        f"{SEARCH} --user-dir nosuch",
        "`--user-dir` must be the folder of a Python package, but 'nosuch' does not exist.",
    ),
    (
        "layerdrop-sweep",
        f"{SWEEP} --user-dir ''",
        "`--user-dir` must be the folder of a Python package, but is '' instead.",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --user-dir nosuch",
        "`--user-dir` must be the folder of a Python package, but 'nosuch' does not exist.",
    ),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --restore-file {{lm}}", MISFIT),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --finetune-from-model {{lm}}", MISFIT),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --restore-file {{translation}} --encoder-ffn-embed-dim 32",
        "the weights of {translation} must fit the model, but: size mismatch for encoder.layers.0.fc1.weight: copying "
        "a param with shape torch.Size([24, 16]) from checkpoint, the shape in current model is torch.Size([32, 16]).",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --finetune-from-model {{translation}} --encoder-layers-to-keep every_other:2 "
        "--encoder-attention-heads 4 --no-scale-embedding",
        "the model must be built as that of {translation}, but `--encoder-attention-heads` is 4 instead of 2, "
        "`--no-scale-embedding` is on instead of off: add --encoder-attention-heads 2 and leave out "
        "--no-scale-embedding.",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --best-checkpoint-metric los",
        "`--best-checkpoint-metric` must be one of loss, ppl, but is 'los'; did you mean 'loss'?",
    ),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --restore-file {{missing}}", NOT_A_FILE),
    # names that nobody has registered
    (
        "layerdrop-search",
        "{lm_data} --path {own_task} --keep 2 --cpu",
        f"{USER_DIR} the task 'my_task' of {{own_task}}: {NOT_THERE}",
    ),
    (
        "layerdrop-sweep",
        "{lm_data} --path {own_task} --cpu",
        f"{USER_DIR} the task 'my_task' of {{own_task}}: {NOT_THERE}",
    ),
    (
        "layerdrop-sweep",
        "{lm_data} --path {own_arch} --cpu",
        f"{USER_DIR} the architecture 'my_lm' of {{own_arch}}: {NOT_THERE}",
    ),
    (
        "layerdrop-sweep",
        "{lm_data} --path {own_criterion} --cpu",
        f"{USER_DIR} the criterion 'my_loss' of {{own_criterion}}: {NOT_THERE}",
    ),
    (
        "fairseq-eval-lm",
        f"{{lm_data}} --path {{own_arch}} {OURS}",
        f"{USER_DIR} the architecture 'my_lm': {NOT_THERE}",
    ),
    (
        "fairseq-validate",
        f"{{lm_data}} --path {{own_task}} --task language_modeling --max-tokens 300 {OURS}",
        f"{USER_DIR} the task 'my_task': {NOT_THERE}",
    ),
    (
        "fairseq-validate",
        f"{{lm_data}} --path {{own_criterion}} --task language_modeling --max-tokens 300 {OURS}",
        f"{USER_DIR} the criterion 'my_loss': {NOT_THERE}",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {OURS} --arch layerdrop_transformr",
        "argument --arch/-a: invalid choice: 'layerdrop_transformr' is none of {archs} names; did you mean "
        "'layerdrop_transformer' or 'layerdrop_transformer_lm' or 'layerdrop_s2t_transformer'?",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --criterion {{nines}}",
        "argument --criterion: invalid choice: {quoted_cut} is none of {criterions} names",
    ),
    # sizes and numbers
    ("fairseq-train", f"{{translation_data}} {MODEL} --max-tokens 9223372036854775808", f"`--max-tokens` {LARGE}"),
    ("fairseq-generate", f"{GENERATE} --max-tokens 9223372036854775808", f"`--max-tokens` {LARGE}"),
    ("fairseq-validate", f"{VALIDATE} --max-tokens 9223372036854775808", f"`--max-tokens` {LARGE}"),
    ("fairseq-eval-lm", f"{EVAL_LM} --batch-size 9223372036854775808", f"`--batch-size` {LARGE}"),
    ("layerdrop-search", f"{SEARCH} --max-tokens 9223372036854775808", f"`--max-tokens` {LARGE}"),
    (
        "layerdrop-sweep",
        f"{SWEEP} --tokens-per-sample {{nines}}",
        "`--tokens-per-sample` must be at most 9223372036854775807 for fairseq, but is {cut} instead.",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {MODEL}",
        f"{REFUSED}: Must specify batch size either with --max-tokens or --batch-size",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --encoder-layers -1",
        "`--encoder-layers` must be a whole number of at least 1, but is -1 instead.",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --decoder-layers 0",
        "`--decoder-layers` must be a whole number of at least 1, but is 0 instead.",
    ),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --encoder-embed-dim 15", f"{REFUSED}: {ODD}"),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --dropout 5",
        f"{REFUSED}: dropout probability has to be between 0 and 1, but got 5.0",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --update-freq 0",
        "`--update-freq` must be at least 1, but is 0 instead.",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --update-freq '('",
        "argument --update-freq: must be a whole number or a list of them, but is '(' instead",
    ),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --lr 0.1,x",
        "argument --lr: must be a number or a list of numbers, but is '0.1,x' instead",
    ),
    ("fairseq-train", f"{{translation_data}} {TRAIN} --seed -1", f"{REFUSED}: Seed must be between 0 and 2**32 - 1"),
    (
        "fairseq-train",
        f"{{translation_data}} {TRAIN} --optimizer-overrides x",
        "`--optimizer-overrides` must be a Python dict, but is 'x' instead.",
    ),
    ("fairseq-generate", f"{GENERATE} --beam 0", "`--beam` must be at least 1, but is 0 instead."),
    (
        "fairseq-generate",
        f"{GENERATE} --sampling --nbest 2",
        f"{REFUSED}: --sampling requires --nbest to be equal to --beam",
    ),
    ("fairseq-eval-lm", f"{EVAL_LM} --context-window -1", "`--context-window` must be at least 0, but is -1 instead."),
    (
        "fairseq-eval-lm",
        f"{EVAL_LM} --context-window 9999",
        "`--context-window` must be less than the tokens per sample, 1024, but is 9999 instead.",
    ),
    # a shard
    ("fairseq-generate", f"{{translation_data}} --path {{shard}} {OURS}", f"`--path` {SHARD}; {JOIN}."),
]
