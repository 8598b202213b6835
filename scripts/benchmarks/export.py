"""Translates the same sentences in fairseq and in CTranslate2; see export.sh."""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import ctranslate2
from report import Parser, head, positive, say, table
from sacrebleu.metrics import BLEU


class Outcome(NamedTuple):
    """The pieces of each translation, in the order of the data, and sentences per second."""

    translations: list[str]
    speed: float


def main() -> None:
    args = options()
    references = args.reference.read_text(encoding="utf-8").splitlines()
    greedy, sources = fairseq(args, 1, full=False)
    if len(references) != len(sources):
        sys.exit(f"export.py: {args.reference} must have {len(sources)} lines, as the data, but has {len(references)}.")
    for kind in ("float32", "int8"):
        argv = ["--to", "ctranslate2", str(args.work / kind), "--quantization", kind, "--data", str(args.data)]
        run("layerdrop-export", str(args.checkpoint), *argv, "--encoder", args.encoder, "--decoder", args.decoder)
    measured: dict[str, list[Outcome]] = {}
    for number in range(args.repeats):  # turn and turn about, so that a slow moment falls on all
        say(f"round {number + 1} of {args.repeats}")
        for name, outcome in {
            "fairseq, all layers": lambda: fairseq(args, args.beam, full=True)[0],
            "fairseq": lambda: fairseq(args, args.beam, full=False)[0],
            "CTranslate2, float32": lambda: exported(args, "float32", sources, args.beam),
            "CTranslate2, int8": lambda: exported(args, "int8", sources, args.beam),
        }.items():
            measured.setdefault(name, []).append(outcome())
    show(args, measured, references)
    same = sum(map(str.__eq__, greedy.translations, exported(args, "float32", sources, 1).translations))
    print(
        f"Greedily, {same} of {len(sources)} sentences ({100 * same / len(sources):.1f}%) are translated the same "
        "by fairseq and CTranslate2 float32, with the same layers."
    )


def options() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    for name in ("--work", "--checkpoint", "--data", "--reference"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--command", "--gen-subset", "--encoder", "--decoder"):
        parser.add_argument(name, required=True)
    for name in ("--threads", "--beam", "--batch-size", "--max-length", "--repeats"):
        parser.add_argument(name, type=positive, required=True)
    args = parser.parse_args()
    for name, path in (("CKPT", args.checkpoint), ("REFERENCE", args.reference)):
        if not path.is_file():
            parser.error(f"{name} must be a file, but is '{path}'.")
    if not args.data.is_dir():
        parser.error(f"DATA must be a folder of fairseq-preprocess, but is '{args.data}'.")
    return args


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"export.py: {argv[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr  # fairseq logs to either


def fairseq(args: argparse.Namespace, beam: int, full: bool) -> tuple[Outcome, list[list[str]]]:
    """Also returns the sources' pieces. The speed is what fairseq-generate says: of its generator alone."""
    kept = {"encoder_layers_to_keep": args.encoder, "decoder_layers_to_keep": args.decoder}
    output = run(
        *("fairseq-generate", str(args.data), "--user-dir", "layerdrop_plugin", "--cpu"),
        *("--path", str(args.checkpoint), "--model-overrides", str({} if full else kept)),
        *("--gen-subset", args.gen_subset, "--beam", str(beam), "--batch-size", str(args.batch_size)),
        *("--max-len-b", str(args.max_length)),
    )
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", output, flags=re.MULTILINE))
    found = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", output, flags=re.MULTILINE))
    in_order = [str(i) for i in range(len(found))]  # fairseq-generate sorts by length
    speed = float(re.findall(r"([\d.]+) sentences/s", output)[-1])
    return Outcome([found[i] for i in in_order], speed), [sources[i].split() for i in in_order]


def exported(args: argparse.Namespace, kind: str, sources: list[list[str]], beam: int) -> Outcome:
    translator = ctranslate2.Translator(str(args.work / kind), intra_threads=args.threads, compute_type=kind)
    start = time.perf_counter()
    results = translator.translate_batch(
        sources,
        beam_size=beam,
        max_batch_size=args.batch_size,
        max_decoding_length=args.max_length,
    )
    seconds = time.perf_counter() - start
    return Outcome([" ".join(result.hypotheses[0]) for result in results], len(sources) / seconds)


def text(pieces: str) -> str:
    """Joins sentencepiece's pieces.

    >>> text("▁a ▁gar den .")
    'a garden.'
    """
    return pieces.replace(" ", "").replace("▁", " ").strip()


def show(args: argparse.Namespace, measured: dict[str, list[Outcome]], references: list[str]) -> None:
    speeds = {name: statistics.median(o.speed for o in outcomes) for name, outcomes in measured.items()}
    full, metric = next(iter(speeds.values())), BLEU()
    scores = {name: score(metric, outcomes[0], references) for name, outcomes in measured.items()}
    rows = [(name, f"{speed:,.1f}", f"{speed / full:.1f}", f"{scores[name]:.2f}") for name, speed in speeds.items()]
    print(head("A translation model in fairseq and in CTranslate2", args.command))
    print(
        f"{len(references)} sentences of '{args.gen_subset}', beam {args.beam}, batches of {args.batch_size}, "
        f"{args.threads} thread(s); CTranslate2 {ctranslate2.__version__}. Where not all layers run: encoder "
        f"{args.encoder}, decoder {args.decoder}. Speed: median of {args.repeats}, without loading. "
        f"sacrebleu {metric.get_signature()}.\n"
    )
    print(table(("", "sentences/s", "of fairseq, all layers", "BLEU"), rows))


def score(metric: BLEU, outcome: Outcome, references: list[str]) -> float:
    return metric.corpus_score([text(pieces) for pieces in outcome.translations], [references]).score


if __name__ == "__main__":
    main()
