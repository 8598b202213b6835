"""Run the tests on every supported version, one environment for each; `nox -s support` prints what came of it.

Each session runs the quick tests and one end-to-end pass. torch from PyPI brings CUDA on Linux: an environment takes
about 5 GB there, and stays in `.nox` for the next run. CONTRIBUTING.md says how to run one session alone.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"

TORCH = {"3.9": "2.8.0", "3.10": "2.13.0", "3.11": "2.13.0", "3.12": "2.13.0", "3.13": "2.13.0"}
"""The newest torch for each Python that scripts/setup.sh installs."""

NEEDED_BY_FAIRSEQ = (
    "bitarray",
    "cffi",
    "cython",
    "hydra-core==1.3.2",
    "numpy",
    "omegaconf==2.3.0",
    "regex",
    "requests",
)
"""What scripts/setup.sh installs instead of fairseq's own pins."""

HELP = "fairseq-train --user-dir layerdrop_plugin --arch layerdrop_transformer --help"
TESTS = (
    *("tests/core", "tests/cli", "tests/scripts", "tests/adapter"),
    *("tests/end_to_end/test_pass.py", "tests/end_to_end/test_console_scripts.py"),
)


@nox.session(python=list(TORCH))
def tests(session: nox.Session) -> None:
    """Test fairseq 0.12.2 with current torch, numpy and Hydra, as scripts/setup.sh installs it."""
    install_all(session, f"torch=={TORCH[session.python]}", "fairseq==0.12.2")
    run_tests(session, extras="ctranslate2,huggingface,")


@nox.session(python="3.10")
def pins(session: nox.Session) -> None:
    """Test fairseq 0.12.2 with what it asks for itself, and the oldest torch."""
    install(session, "pip>=23.1,<24.1")  # newer ones can't read the metadata of omegaconf 2.0.6
    install(session, "torch==1.13.1", "numpy==1.26.*", "fairseq==0.12.2")
    run_tests(session)


@nox.session(python="3.11")
def torch25(session: nox.Session) -> None:
    """Test the newest torch whose own loading of checkpoints is not safe."""
    install_all(session, "torch==2.5.1", "fairseq==0.12.2")
    run_tests(session)


@nox.session(python="3.12")
def fork(session: nox.Session) -> None:
    """Test fairseq-fixed, which is close to fairseq's main branch."""
    install_all(session, "torch==2.13.0", "fairseq-fixed==0.12.3.1")
    install(session, "packaging", "scikit-learn")  # which it imports
    run_tests(session, extras="ctranslate2,huggingface,")


@nox.session(python="3.11")
@nox.parametrize("way", ["pip", "old_pip", "uv"])
def install_lines(session: nox.Session, way: str) -> None:
    """Install the wheel as README says, without scripts/setup.sh, and see that fairseq's commands know it."""
    folder = session.create_tmp()
    session.install("--quiet", "build", "uv", *(["pip<24.1"] if way == "old_pip" else ["pip>=25"]))
    session.run("python", "-m", "build", "--quiet", "--wheel", "--outdir", folder, ".")
    (wheel,) = Path(folder).glob("*.whl")
    if way == "pip":
        session.install(f"{wheel}[fairseq]")
    elif way == "old_pip":
        session.install(str(wheel))
        session.install("fairseq==0.12.2", "requests")
    else:
        override = Path(folder) / "override.txt"
        override.write_text("hydra-core==1.3.2\nomegaconf==2.3.0\n")
        session.run("uv", "pip", "install", "--override", str(override), str(wheel), "fairseq==0.12.2")
    with session.chdir(folder):  # no checkout in the working directory
        session.run("python", "-m", "layerdrop_plugin")
        session.run(*HELP.split(), silent=True)


@nox.session(venv_backend="none")
def support(session: nox.Session) -> None:
    """Print the results of the other sessions as a table."""
    session.run("python3", "scripts/support.py", "table", external=True)


def install_all(session: nox.Session, torch: str, fairseq: str) -> None:
    """Install torch, fairseq, and what fairseq needs in versions that work together."""
    install(session, "pip>=23.1,<26")
    install(session, torch)
    install(session, *NEEDED_BY_FAIRSEQ)
    install(session, "--no-deps", fairseq)


def install(session: nox.Session, *requirements: str) -> None:
    """Install packages, numpy as a wheel only."""
    session.install("--quiet", "--no-warn-conflicts", *requirements, env={"PIP_ONLY_BINARY": "numpy"})


def run_tests(session: nox.Session, extras: str = "") -> None:
    """Run the tests, and record what came of each: one that fails does not end the session."""
    install(session, "--editable", f".[{extras}demo,recipes,test]")
    report = f"{session.create_tmp()}/report.xml"
    pytest = ("python", "-m", "pytest", "--disable-warnings", f"--junitxml={report}", *TESTS, *session.posargs)
    session.run(*pytest, env={"OMP_NUM_THREADS": "1"}, success_codes=[0, 1])
    session.run("python", "scripts/support.py", "record", session.name, report)
