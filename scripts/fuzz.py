"""Damage checkpoints and command lines by chance, and see that every command says so in one line, and no more.

Each case runs in a fork of this process, in a folder of its own. What counts as mishandled: a traceback, a signal, a
status other than 0 and 2, status 0 with nothing done, a file left behind, a changed input, an error of several lines
or without end, control characters, more than 1.5 GB of memory, code of a checkpoint that runs, too much time.

Examples:
  python scripts/fuzz.py                                      500 cases, some minutes
  python scripts/fuzz.py --cases 5000 --seconds 3600 --seed 2
  python scripts/fuzz.py --commands layerdrop-prune fairseq-  the cases of these: names, or their beginnings
  python scripts/fuzz.py --seed 2 --only 1234                 one of them again, with all that it prints
  python scripts/fuzz.py --only 1234 --folder /tmp/case       and what it was given and wrote is kept there
"""

from __future__ import annotations

import argparse
import collections
import gc
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Callable

from fuzzing import cases, commands, subjects
from fuzzing.cases import Case
from fuzzing.forking import Outcome
from tqdm import tqdm


def main() -> int:
    args = _parser().parse_args()
    warnings.simplefilter("ignore")  # of torch, on the kinds of tensors that are made here
    functions = commands.load()
    gc.freeze()  # what is there now needs no look in each fork
    with tempfile.TemporaryDirectory(prefix="fuzz.") as folder:
        base = Path(folder)
        good = subjects.make(base, functions)
        lines = commands.lines(subjects.training_options())
        run = Run(args, base, lines, good, functions)
        for number in tqdm(args.only or range(args.first, args.first + args.cases), unit="case", disable=None):
            if time.monotonic() > run.deadline and not args.only:
                break
            run.case(number)
    return run.report()


class Run:
    """Tries cases, and counts."""

    def __init__(
        self,
        args: argparse.Namespace,
        base: Path,
        lines: list[commands.Line],
        good: dict[str, subjects.Subject],
        functions: dict[str, Callable[[], object]],
    ) -> None:
        self.args, self.base, self.lines, self.good, self.functions = args, base, lines, good, functions
        self.start = time.monotonic()
        self.deadline = self.start + args.seconds
        self.ends: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        self.bad: dict[int, list[str]] = {}
        self.peak = 0
        self.slowest = 0.0

    def case(self, number: int) -> None:
        case = cases.make(self.args.seed, number, self.lines, self.good)
        if not case.argv[0].startswith(tuple(self.args.commands)):
            return
        folder = self.args.folder or self.base / "case"
        outcome, faults = cases.attempt(case, folder, self.good, self.functions, self.args.timeout)
        if self.args.folder is None:
            shutil.rmtree(folder)
        self.ends[case.argv[0]]["mishandled" if faults else f"status {outcome.status}"] += 1
        self.peak, self.slowest = max(self.peak, outcome.peak), max(self.slowest, outcome.seconds)
        if faults:
            self.bad[number] = faults
            tqdm.write(_told(case, faults, self.args.seed))
        if self.args.only:
            tqdm.write(_all_of(case, outcome))

    def report(self) -> int:
        """Print the tally; return the exit status."""
        total = sum(sum(ends.values()) for ends in self.ends.values())
        for command in sorted(self.ends):
            counts = ", ".join(f"{count} {what}" for what, count in sorted(self.ends[command].items()))
            print(f"{command:20} {sum(self.ends[command].values()):5}: {counts}")
        kinds = collections.Counter(fault.split(":")[0] for faults in self.bad.values() for fault in faults)
        for kind, count in kinds.most_common():
            print(f"{count:5} {kind}")
        print(
            f"{total} cases of seed {self.args.seed} in {time.monotonic() - self.start:.0f} s: {len(self.bad)} "
            f"mishandled; {self.peak / 1e6:.0f} MB and {self.slowest:.1f} s at most"
        )
        return 1 if self.bad else 0


def _told(case: Case, faults: list[str], seed: int) -> str:
    return (
        "\n".join(
            [
                f"case {case.number}, {case.line.name}, {case.about}",
                f"  {shlex.join(case.argv)[:400]}",
                *(f"  {fault}" for fault in faults),
                f"  again: python scripts/fuzz.py --seed {seed} --only {case.number}",
            ]
        )
        .encode("utf-8", "backslashreplace")
        .decode()
    )


def _all_of(case: Case, outcome: Outcome) -> str:
    return (
        (
            f"case {case.number}, {case.line.name}, {case.about}\n  {shlex.join(case.argv)}\n"
            f"  status {outcome.status}, {outcome.seconds:.1f} s, {outcome.peak / 1e6:.0f} MB\n"
            f"{outcome.out}{outcome.err}"
        )
        .encode("utf-8", "backslashreplace")
        .decode()
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500, metavar="N", help="how many, at most (default: 500)")
    parser.add_argument("--seconds", type=float, default=1800, metavar="S", help="how long, at most (default: 1800)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="other cases for another one (default: 1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number of the first case (default: 0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these cases, with all that they print")
    parser.add_argument("--commands", nargs="+", default=[""], metavar="NAME", help="leave out those of other commands")
    parser.add_argument("--timeout", type=float, default=30, metavar="S", help="for one case (default: 30)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="a new folder that keeps the one of --only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
