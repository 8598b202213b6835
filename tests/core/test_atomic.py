"""Files are written atomically, and never replace another without being asked to."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time

import pytest
import torch

from layerdrop_plugin import atomic


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "out.pt")


def content(path):
    with open(path, "rb") as file:
        return file.read()


def test_the_name_appears_at_the_end(path):
    with atomic.write_file(path) as file:
        file.write(b"hello")
        assert not os.path.exists(path)
    assert content(path) == b"hello"
    assert os.listdir(os.path.dirname(path)) == ["out.pt"]


def test_a_name_without_a_folder_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic.write_file("out.pt") as file:
        file.write(b"hello")
    assert content(tmp_path / "out.pt") == b"hello"


def test_permissions_follow_the_umask(path):
    before = os.umask(0o027)
    try:
        with atomic.write_file(path):
            pass
    finally:
        os.umask(before)
    assert os.stat(path).st_mode & 0o777 == 0o640


def write_and_stop(path, error, force=False):
    with atomic.write_file(path, force) as file:
        file.write(b"half")
        raise error


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, RuntimeError])
def test_what_stops_the_writing_leaves_nothing(path, stop):
    with pytest.raises(stop, match="enough"):
        write_and_stop(path, stop("enough"))
    assert os.listdir(os.path.dirname(path)) == []


def test_what_stops_the_writing_leaves_an_existing_file(path):
    with atomic.write_file(path) as file:
        file.write(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_and_stop(path, KeyboardInterrupt(), force=True)
    assert content(path) == b"old"
    with atomic.write_file(path, force=True) as file:
        file.write(b"new")
    assert content(path) == b"new"
    assert os.listdir(os.path.dirname(path)) == ["out.pt"]


def test_killed_in_the_middle(path):
    with atomic.write_file(path) as file:
        file.write(b"old")
    child = os.fork()
    if child == 0:
        with atomic.write_file(path, force=True) as file:
            file.write(b"new")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert content(path) == b"old"


def test_ctrl_c_within_torch_save_is_no_error_of_torch(path, monkeypatch):
    class Interrupted:
        """A file during whose third write Ctrl-C is pressed."""

        writes = 0

        def write(self, data):
            self.writes += 1
            if self.writes == 3:
                raise KeyboardInterrupt
            return len(data)

    file = Interrupted()

    def save():
        with atomic.write_file(path) as delaying:
            monkeypatch.setattr(delaying, "_file", file)
            torch.save({"w": torch.zeros(1000)}, delaying)

    with pytest.raises(KeyboardInterrupt):
        save()
    assert file.writes == 3
    assert os.listdir(os.path.dirname(path)) == []


def test_a_disk_that_is_full(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # bytes in a file
    try:
        with pytest.raises(ValueError) as error, atomic.write_file(path) as file:
            torch.save({"w": torch.zeros(100_000)}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == f"`--output` must be a file that can be written, but {path} can't be: File too large."
    assert os.listdir(os.path.dirname(path)) == []


def test_a_file_that_exists_needs_force(path):
    atomic.check_file(path)
    with open(path, "wb") as file:
        file.write(b"old")
    with pytest.raises(ValueError) as error:
        atomic.check_file(path, option="--out")
    assert str(error.value) == f"`--out` must be a new file, but {path} exists; --force replaces it."
    atomic.check_file(path, force=True)


def test_a_file_that_appears_meanwhile_stays(path):
    def write_both():
        with atomic.write_file(path) as file:
            file.write(b"ours")
            with open(path, "wb") as other:
                other.write(b"theirs")

    with pytest.raises(ValueError, match="must be a new file"):
        write_both()
    assert content(path) == b"theirs"
    assert os.listdir(os.path.dirname(path)) == ["out.pt"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_at_the_last_moment_stays(path, links, monkeypatch):
    def link(source, target):
        if not links:
            raise OSError(errno.EPERM, "Operation not permitted")
        hard_link(source, target)

    def checked(*args):
        check(*args)
        if len(os.listdir(os.path.dirname(path))) == 1:  # what is being written
            with open(path, "wb") as other:
                other.write(b"theirs")

    hard_link, check = os.link, atomic.check_file
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(atomic, "check_file", checked)
    with pytest.raises(ValueError) as error, atomic.write_file(path) as file:
        file.write(b"ours")
    assert str(error.value) == f"`--output` must be a new file, but {path} exists; --force replaces it."
    assert content(path) == b"theirs"
    assert os.listdir(os.path.dirname(path)) == ["out.pt"]


def test_a_file_system_without_hard_links(path, monkeypatch):
    def link(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with atomic.write_file(path) as file:
        file.write(b"hello")
    assert content(path) == b"hello"
    assert os.listdir(os.path.dirname(path)) == ["out.pt"]


def test_permissions_of_a_file_that_is_replaced_stay(path):
    with open(path, "wb"):
        os.chmod(path, 0o604)
    with atomic.write_file(path, force=True) as file:
        file.write(b"new")
    assert content(path) == b"new"
    assert os.stat(path).st_mode & 0o777 == 0o604


def test_a_read_only_file_is_not_replaced(path):
    with open(path, "wb") as file:
        file.write(b"old")
    os.chmod(path, 0o444)
    with pytest.raises(ValueError) as error, atomic.write_file(path, force=True) as file:
        file.write(b"new")
    assert str(error.value) == f"`--output` must be a file that can be written, but {path} is read-only."
    assert content(path) == b"old"


def test_what_a_killed_process_left_is_removed_after_a_day(path):
    folder = os.path.dirname(path)
    hours = {
        ".out.pt.0a1b2c3d.tmp": 25,
        ".out.pt.4e5f6a7b.tmp": 23,  # its process may be at work
        ".out_pt.0a1b2c3d.tmp": 25,
        ".out.pt.mine.tmp": 25,
    }
    for name, age in hours.items():
        with open(os.path.join(folder, name), "wb"):
            os.utime(os.path.join(folder, name), (time.time() - age * 3600,) * 2)
    with atomic.write_file(path):
        pass
    assert sorted(os.listdir(folder)) == [".out.pt.4e5f6a7b.tmp", ".out.pt.mine.tmp", ".out_pt.0a1b2c3d.tmp", "out.pt"]


def test_a_file_in_a_folder_that_is_missing(tmp_path):
    path = f"{tmp_path}/missing/out.pt"
    with pytest.raises(ValueError) as error:
        atomic.check_file(path)
    assert str(error.value) == f"`--output` must be in a folder that exists, but is {path!r} instead."


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["", ".", "pipe", "link"])
def test_what_is_no_file_is_never_replaced(tmp_path, name, force):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("nowhere", tmp_path / "link")
    path = f"{tmp_path}/{name}"
    with pytest.raises(ValueError) as error:
        atomic.check_file(path, force)
    assert str(error.value) == f"`--output` must name a file, no folder or device, but is {path!r} instead."
    with pytest.raises(ValueError), atomic.write_file(path, force):
        pass
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


@pytest.mark.parametrize("length", [242, 300])  # 255 are allowed, of which the temporary name needs 14 more
def test_a_name_that_is_too_long(tmp_path, length):
    path = f"{tmp_path}/{'x' * length}"
    with pytest.raises(ValueError) as error:
        atomic.check_file(path)
    assert (
        str(error.value) == f"`--output` must be a file that can be written, but {path} can't be: File name too long."
    )
    atomic.check_file(f"{tmp_path}/{'x' * 241}")
