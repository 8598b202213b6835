"""Folders are written atomically, and replace files only in a folder of ours and with `force`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from layerdrop_plugin import atomic_folder

MARKS = {"model.bin": ("config.json", "words.json"), "model.safetensors": ("config.json",)}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "out")


def write(folder, text):
    for name in ("model.bin", "config.json"):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)


def content(path):
    assert sorted(os.listdir(path)) == ["config.json", "model.bin"]
    with open(os.path.join(path, "model.bin")) as file:
        return file.read()


@pytest.fixture
def old(path):
    """A folder that was written before."""
    with atomic_folder.write_folder(path) as folder:
        write(folder, "old")
    return path


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_name_appears_at_the_end(path, slash):
    with atomic_folder.write_folder(path + slash) as folder:
        write(folder, "new")
        assert not os.path.exists(path)
    assert content(path) == "new"
    assert os.listdir(os.path.dirname(path)) == ["out"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_get_the_permissions_of_the_umask(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        with atomic_folder.write_folder(str(tmp_path / "out")) as folder:
            for name, own in (("model.safetensors", 0o600), ("config.json", 0o644)):
                (Path(folder) / name).touch()
                os.chmod(f"{folder}/{name}", own)
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {
        "model.safetensors": mode,
        "config.json": mode,
    }


def test_a_name_without_a_folder_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_folder.write_folder("out") as folder:
        write(folder, "new")
    assert content(tmp_path / "out") == "new"


def test_permissions_follow_the_umask(path):
    before = os.umask(0o027)
    try:
        with atomic_folder.write_folder(path):
            pass
    finally:
        os.umask(before)
    assert os.stat(path).st_mode & 0o777 == 0o750


def write_and_stop(path, error, *how):
    with atomic_folder.write_folder(path, *how) as folder:
        write(folder, "half")
        raise error


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, RuntimeError])
def test_what_stops_the_writing_leaves_nothing(path, stop):
    with pytest.raises(stop, match="enough"):
        write_and_stop(path, stop("enough"))
    assert os.listdir(os.path.dirname(path)) == []


def test_what_stops_the_writing_leaves_an_existing_folder(old):
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(old, KeyboardInterrupt(), True, MARKS)
    assert content(old) == "old"
    with atomic_folder.write_folder(old, True, MARKS) as folder:
        write(folder, "new")
    assert content(old) == "new"
    assert os.listdir(os.path.dirname(old)) == ["out"]


def test_killed_in_the_middle(old):
    child = os.fork()
    if child == 0:
        with atomic_folder.write_folder(old, True, MARKS) as folder:
            write(folder, "new")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert content(old) == "old"


@pytest.fixture
def shared(old):
    """The folder with files of the user's, too, one of an older export, one of an export to the other library."""
    os.makedirs(f"{old}/.git/refs")
    for name in ("README", "words.json", "model.safetensors", ".git/HEAD"):
        with open(f"{old}/{name}", "w") as file:
            file.write("old")
    return old


FILES = [".git/HEAD", "README", "config.json", "model.bin", "model.safetensors", "words.json"]


def files(folder):
    """What each file in a folder holds."""
    found = {}
    for within, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(within, name)) as file:
                found[os.path.relpath(file.name, folder)] = file.read()
    return found


def test_only_files_of_an_export_are_replaced(shared):
    os.chmod(f"{shared}/config.json", 0o600)
    before = os.stat(shared).st_ino
    with atomic_folder.write_folder(shared, True, MARKS) as folder:
        write(folder, "new")
    assert files(shared) == {".git/HEAD": "old", "README": "old", "config.json": "new", "model.bin": "new"}
    assert os.path.isdir(f"{shared}/.git/refs")
    assert (os.stat(shared).st_ino, os.stat(f"{shared}/config.json").st_mode & 0o777) == (before, 0o600)
    assert os.listdir(os.path.dirname(shared)) == ["out"]


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(6))  # four files go, two come
def test_a_renaming_that_fails_leaves_the_old_files(shared, number, when, stop, monkeypatch):
    rename, names = os.rename, []

    def failing(source, target):
        names.append(os.path.basename(source))
        if len(names) == number + 1 and when == "before":
            raise stop
        rename(source, target)
        if len(names) == number + 1:
            raise stop

    monkeypatch.setattr(os, "rename", failing)
    with (
        pytest.raises((ValueError, KeyboardInterrupt)) as error,
        atomic_folder.write_folder(shared, True, MARKS) as folder,
    ):
        write(folder, "new")
    if isinstance(stop, OSError):
        assert str(error.value) == (
            f"`OUT` must be a folder that can be written, but {shared} can't be: No space left on device."
        )
    expected = ["model.bin", "model.safetensors", "config.json", "words.json", "config.json", "model.bin"]
    assert names[: number + 1] == expected[: number + 1]  # no half of it looks whole
    assert files(shared) == dict.fromkeys(FILES, "old")
    assert os.listdir(os.path.dirname(shared)) == ["out"]


@pytest.mark.parametrize("name", ["config.json", "words.json"])
def test_a_file_in_the_folder_that_is_protected(shared, name):
    os.chmod(f"{shared}/{name}", 0o444)
    with pytest.raises(ValueError) as error, atomic_folder.write_folder(shared, True, MARKS) as folder:
        write(folder, "new")
    assert str(error.value) == f"`OUT` must hold files that can be written, but {shared}/{name} is read-only."
    assert files(shared) == dict.fromkeys(FILES, "old")


def test_a_folder_in_the_place_of_a_file(old):
    os.unlink(f"{old}/config.json")
    os.mkdir(f"{old}/config.json")
    with pytest.raises(ValueError) as error, atomic_folder.write_folder(old, True, MARKS) as folder:
        write(folder, "new")
    assert str(error.value) == f"`OUT` must have a file or nothing where {old}/config.json is."
    assert files(old) == {"model.bin": "old"}


def test_a_folder_that_appears_at_the_last_moment_stays(path, monkeypatch):
    def checked(*args):
        check(*args)
        if os.listdir(os.path.dirname(path)):
            os.mkdir(path)
            write(path, "theirs")
            monkeypatch.setattr(os.path, "lexists", lambda path: False)

    check = atomic_folder.check_folder
    monkeypatch.setattr(atomic_folder, "check_folder", checked)
    with pytest.raises(ValueError) as error, atomic_folder.write_folder(path) as folder:
        write(folder, "ours")
    assert str(error.value) == f"`OUT` must be a new folder, but {path} exists; --force replaces the same files in it."
    assert content(path) == "theirs"


def test_what_a_killed_process_left_is_removed_after_a_day(path):
    folder = os.path.join(os.path.dirname(path), ".out.0a1b2c3d.tmp")
    os.mkdir(folder)
    write(folder, "half")
    os.utime(folder, (time.time() - 25 * 3600,) * 2)
    with atomic_folder.write_folder(path) as new:
        write(new, "new")
    assert os.listdir(os.path.dirname(path)) == ["out"]


def test_a_folder_that_exists_needs_force(old):
    with pytest.raises(ValueError) as error:
        atomic_folder.check_folder(old, option="--out")
    assert str(error.value) == f"`--out` must be a new folder, but {old} exists; --force replaces the same files in it."
    atomic_folder.check_folder(old, True, MARKS)


def test_a_folder_that_appears_meanwhile_stays(path):
    def write_both():
        with atomic_folder.write_folder(path) as folder:
            write(folder, "ours")
            os.mkdir(path)
            write(path, "theirs")

    with pytest.raises(ValueError, match="must be a new folder"):
        write_both()
    assert content(path) == "theirs"
    assert os.listdir(os.path.dirname(path)) == ["out"]


@pytest.mark.parametrize("name", ["home", "file", "link", "link/", "pipe"])
def test_what_is_no_export_is_never_replaced(old, tmp_path, name):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").touch()
    (tmp_path / "file").touch()
    os.symlink("out", tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    path = f"{tmp_path}/{name}"
    with pytest.raises(ValueError) as error:
        atomic_folder.check_folder(path, True, MARKS)
    assert str(error.value) == (
        "`OUT` must be a folder with model.bin or model.safetensors for --force to replace files in it, "
        f"but {path} is not."
    )
    with pytest.raises(ValueError), atomic_folder.write_folder(path, True, MARKS):
        pass
    assert sorted(os.listdir(tmp_path)) == ["file", "home", "link", "out", "pipe"]


@pytest.mark.parametrize("needed", ["out", "out/ckpt.pt", "out/deep/ckpt.pt", "link/ckpt.pt"])
def test_what_is_needed_is_never_replaced(old, tmp_path, needed):
    os.symlink("out", tmp_path / "link")
    with pytest.raises(ValueError) as error:
        atomic_folder.check_apart(f"{old}/", f"{tmp_path}/{needed}", "CKPT")
    assert str(error.value) == f"`OUT` must be a folder without `CKPT`, but {old}/ holds {tmp_path}/{needed}."
    for other in ("outside.pt", "ckpt.pt", ""):
        atomic_folder.check_apart(old, f"{tmp_path}/{other}", "CKPT")


@pytest.mark.parametrize("name", ["missing/out", "file/out"])
def test_no_folder_around_it(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError) as error:
        atomic_folder.check_folder(f"{tmp_path}/{name}")
    assert str(error.value) == f"`OUT` must be in a folder that exists, but is '{tmp_path}/{name}' instead."


def test_a_folder_around_it_that_can_not_be_written(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(ValueError) as error:
        atomic_folder.check_folder(path)
    assert str(error.value) == f"`OUT` must be in a folder that can be written, but is {path!r} instead."


@pytest.mark.parametrize("name", ["", ".", "./", "..", "../out/.", "/"])
def test_no_name(old, name, monkeypatch):
    monkeypatch.chdir(old)
    with pytest.raises(ValueError) as error:
        atomic_folder.check_folder(name, True, MARKS)
    assert str(error.value) == f"`OUT` must name a folder, but is {name!r} instead."
