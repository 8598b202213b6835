"""Folders are written whole or not at all, and never over another unasked, nor over one that is none of ours."""

import os
import signal

import pytest

from layerdrop_plugin import whole_folders

MARKS = ("model.bin", "model.safetensors")


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
    with whole_folders.writing(path) as folder:
        write(folder, "old")
    return path


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_name_appears_at_the_end(path, slash):
    with whole_folders.writing(path + slash) as folder:
        write(folder, "new")
        assert not os.path.exists(path)
    assert content(path) == "new"
    assert os.listdir(os.path.dirname(path)) == ["out"]


def test_a_name_without_a_folder_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with whole_folders.writing("out") as folder:
        write(folder, "new")
    assert content(tmp_path / "out") == "new"


def test_permissions_follow_the_umask(path):
    before = os.umask(0o027)
    try:
        with whole_folders.writing(path):
            pass
    finally:
        os.umask(before)
    assert os.stat(path).st_mode & 0o777 == 0o750


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, RuntimeError])
def test_what_stops_the_writing_leaves_nothing(path, stop):
    with pytest.raises(stop, match="enough"), whole_folders.writing(path) as folder:
        write(folder, "half")
        raise stop("enough")
    assert os.listdir(os.path.dirname(path)) == []


def test_what_stops_the_writing_leaves_an_existing_folder(old):
    with pytest.raises(KeyboardInterrupt), whole_folders.writing(old, True, MARKS) as folder:
        write(folder, "new")
        raise KeyboardInterrupt
    assert content(old) == "old"
    with whole_folders.writing(old, True, MARKS) as folder:
        write(folder, "new")
    assert content(old) == "new"
    assert os.listdir(os.path.dirname(old)) == ["out"]


def test_killed_in_the_middle(old):
    child = os.fork()
    if child == 0:
        with whole_folders.writing(old, True, MARKS) as folder:
            write(folder, "new")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert content(old) == "old"


def test_a_renaming_that_fails_leaves_the_old_folder(old, monkeypatch):
    rename = os.rename

    def failing(source, target):
        if target == old and ".tmp" in source and os.path.exists(os.path.join(source, "new")):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(ValueError) as error, whole_folders.writing(old, True, MARKS) as folder:
        open(os.path.join(folder, "new"), "w").close()
    assert str(error.value) == f"`OUT` must be a folder that can be written, but {old} can't: No space left on device."
    assert content(old) == "old"
    assert os.listdir(os.path.dirname(old)) == ["out"]


def test_ctrl_c_between_the_renamings_leaves_the_old_folder(old, monkeypatch):
    rename = os.rename

    def interrupted(source, target):
        rename(source, target)
        if source == old:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folders.writing(old, True, MARKS) as folder:
        write(folder, "new")
    assert content(old) == "old"
    assert os.listdir(os.path.dirname(old)) == ["out"]


def test_a_folder_that_exists_needs_force(old):
    with pytest.raises(ValueError) as error:
        whole_folders.check(old, option="--out")
    assert str(error.value) == f"`--out` must be a new folder, but {old} exists; --force replaces it."
    whole_folders.check(old, True, MARKS)


def test_a_folder_that_appears_meanwhile_stays(path):
    with pytest.raises(ValueError, match="must be a new folder"), whole_folders.writing(path) as folder:
        write(folder, "ours")
        os.mkdir(path)
        write(path, "theirs")
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
        whole_folders.check(path, True, MARKS)
    assert str(error.value) == (
        f"`OUT` must be a folder with model.bin or model.safetensors for --force to replace it, but {path} is none."
    )
    with pytest.raises(ValueError), whole_folders.writing(path, True, MARKS):
        pass
    assert sorted(os.listdir(tmp_path)) == ["file", "home", "link", "out", "pipe"]


@pytest.mark.parametrize("needed", ["out", "out/ckpt.pt", "out/deep/ckpt.pt", "link/ckpt.pt"])
def test_what_is_needed_is_never_replaced(old, tmp_path, needed):
    os.symlink("out", tmp_path / "link")
    with pytest.raises(ValueError) as error:
        whole_folders.check_apart(f"{old}/", f"{tmp_path}/{needed}", "CKPT")
    assert str(error.value) == f"`OUT` must be a folder without `CKPT`, but {old}/ holds {tmp_path}/{needed}."
    for other in ("outside.pt", "ckpt.pt", ""):
        whole_folders.check_apart(old, f"{tmp_path}/{other}", "CKPT")


@pytest.mark.parametrize("name", ["missing/out", "file/out"])
def test_no_folder_around_it(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError) as error:
        whole_folders.check(f"{tmp_path}/{name}")
    assert str(error.value) == f"`OUT` must be in a folder that exists, but is '{tmp_path}/{name}' instead."


def test_a_folder_around_it_that_can_not_be_written(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(ValueError) as error:
        whole_folders.check(path)
    assert str(error.value) == f"`OUT` must be in a folder that can be written, but is {path!r} instead."


@pytest.mark.parametrize("name", ["", ".", "./", "..", "../out/.", "/"])
def test_no_name(old, name, monkeypatch):
    monkeypatch.chdir(old)
    with pytest.raises(ValueError) as error:
        whole_folders.check(name, True, MARKS)
    assert str(error.value) == f"`OUT` must name a folder, but is {name!r} instead."
