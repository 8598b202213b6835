"""--user-dir layerdrop_plugin, from folders of every kind; in forks of the server, for each imports only once."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from fairseq import utils
from fork_server import programs

from layerdrop_plugin.fairseq_adapter.compat import user_dir_lookup

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "layerdrop_plugin"


CODE = """
{before}
import argparse, os, sys
from fairseq import utils
for _ in range(2):
    utils.import_user_module(argparse.Namespace(user_dir={user_dir!r}))
print(os.path.dirname(sys.modules["layerdrop_plugin"].__file__))
"""


@pytest.fixture
def imported_from(fork_server):
    """A function that tells where fairseq found the plugin with that --user-dir and working directory."""

    def run(folder: Path, user_dir: str = "layerdrop_plugin", before: str = "") -> str:
        code = CODE.format(before=before, user_dir=user_dir)
        done = subprocess.run([*programs.ASK, "-c", code], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_any_folder(imported_from, tmp_path):
    assert imported_from(tmp_path) == str(PACKAGE)


def test_the_folder_that_the_checkout_was_cloned_into(imported_from, tmp_path):
    (tmp_path / "layerdrop_plugin").mkdir()  # of the package's name, but not the package
    (tmp_path / "layerdrop_plugin" / "README.md").touch()
    assert imported_from(tmp_path) == str(PACKAGE)


def test_the_checkout_itself(imported_from):
    assert imported_from(ROOT) == str(PACKAGE)


def test_an_absolute_path(imported_from, tmp_path):
    assert imported_from(tmp_path, user_dir=str(PACKAGE)) == str(PACKAGE)


def test_after_an_import_by_name(imported_from, tmp_path):
    assert imported_from(tmp_path, before="import layerdrop_plugin") == str(PACKAGE)


def test_another_copy_in_the_working_directory_comes_first_as_fairseq_has_it(imported_from, tmp_path):
    (tmp_path / "layerdrop_plugin").mkdir()
    (tmp_path / "layerdrop_plugin" / "__init__.py").touch()
    assert imported_from(tmp_path) == str(tmp_path / "layerdrop_plugin")


def test_no_user_dir_is_left_alone():
    from fairseq import utils

    before = list(sys.path)
    utils.import_user_module(None)
    assert sys.path == before


def test_a_folder_that_is_not_there_is_refused_as_before():
    from types import SimpleNamespace

    from fairseq import utils

    with pytest.raises(FileNotFoundError, match="no_such_folder"):
        utils.import_user_module(SimpleNamespace(user_dir="no_such_folder"))


def test_applying_twice_wraps_once():
    from fairseq import utils

    user_dir_lookup.apply()
    once = utils.import_user_module
    user_dir_lookup.apply()
    assert utils.import_user_module is once


def test_a_folder_that_does_not_exist_is_one_line(in_fairseq_train, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(utils.import_user_module, argparse.Namespace(user_dir="layerdrop_plugn"))
    said = "`--user-dir` must be the folder of a Python package, but 'layerdrop_plugn' does not exist."
    assert (end.value.code, capsys.readouterr().err) == (2, f"fairseq-train: error: {said}\n")


def test_a_program_gets_the_error_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        utils.import_user_module(argparse.Namespace(user_dir="layerdrop_plugn"))


def test_a_file_is_one_line(in_fairseq_train, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(utils.import_user_module, argparse.Namespace(user_dir="notes.txt"))
    said = "`--user-dir` must be the folder of a Python package, but 'notes.txt' is a file."
    assert (end.value.code, capsys.readouterr().err) == (2, f"fairseq-train: error: {said}\n")


def test_what_a_package_lacks_is_its_own_error(in_fairseq_train, tmp_path):
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "__init__.py").write_text("import nosuchpackage")
    with pytest.raises(ModuleNotFoundError, match="nosuchpackage"):
        in_fairseq_train(utils.import_user_module, argparse.Namespace(user_dir=str(tmp_path / "lacking")))
