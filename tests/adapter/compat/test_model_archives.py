"""`from_pretrained` unpacks an archive into a folder of its own, and leaves the archive as it is."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tracemalloc

import pytest
from fairseq import file_utils
from fairseq.models.transformer import TransformerModel

from layerdrop_plugin.fairseq_adapter.compat import model_archives
from layerdrop_plugin.fairseq_adapter.errors.one_line import UserError
from layerdrop_plugin.fairseq_adapter.reading import reader


@pytest.fixture
def archive(full, data, tmp_path):
    """An archive with a model and its dictionaries."""
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.add(full["transformer"], "mine/model.pt")
        for language in ("en", "de"):
            file.add(data["transformer"] / f"dict.{language}.txt", f"mine/dict.{language}.txt")
    return path


def test_a_model_comes_from_an_archive_that_stays(archive, monkeypatch):
    leave = []
    monkeypatch.setattr(model_archives.atexit, "register", lambda *args, **kwargs: leave.append((args, kwargs)))
    content = archive.read_bytes()
    for _ in range(2):
        options = {"source_lang": "en", "target_lang": "de", "decoder_layers_to_keep": "0,2"}
        model = TransformerModel.from_pretrained(str(archive), "model.pt", ".", **options)
        assert len(model.models[0].decoder.layers) == 2
    assert archive.read_bytes() == content
    for (call, folder), options in leave:
        assert os.listdir(folder) == ["mine"]
        call(folder, **options)
        assert not os.path.exists(folder)


def test_files_without_a_folder_around_them(tmp_path):
    path = with_entries(tmp_path, tarfile.TarInfo("model.pt"), tarfile.TarInfo("dict.txt"))
    folder = file_utils.load_archive_file(path)
    assert sorted(os.listdir(folder)) == ["dict.txt", "model.pt"]
    shutil.rmtree(folder)


def with_entries(folder, *entries):
    path = str(folder / "stranger.tar.gz")
    with tarfile.open(path, "w:gz") as file:
        for entry in entries:
            entry.size = 0 if entry.type != tarfile.REGTYPE else 1
            file.addfile(entry, io.BytesIO(b"x"))
    return path


def entry(name, kind=tarfile.REGTYPE, linkname=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, linkname
    return made


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry("m/model.pt"), entry("../evil")], "entries must lie inside it, but {} holds '../evil'"),
        ([entry("m/../../evil")], "entries must lie inside it, but {} holds 'm/../../evil'"),
        ([entry("/tmp/evil")], "entries must lie inside it, but {} holds '/tmp/evil'"),
        ([entry("m/pipe", tarfile.FIFOTYPE)], "must hold files and folders only, but {} holds 'm/pipe'"),
    ],
)
def test_entries_that_lie_elsewhere(entries, words, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    path = with_entries(tmp_path, *entries)
    with pytest.raises(UserError) as error:
        file_utils.load_archive_file(path)
    assert words.format(path) in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["stranger.tar.gz", "temporary"]
    assert not os.listdir(tmp_path / "temporary")


@pytest.mark.parametrize("checked", [True, False], ids=["Python checks links", "it does not"])
def test_a_link_that_leads_elsewhere(checked, tmp_path, monkeypatch):
    if not checked:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    path = with_entries(tmp_path, entry("m/out", tarfile.SYMTYPE, str(tmp_path)), entry("m/out/evil"))
    with pytest.raises(UserError, match=r"a model must be a folder|must hold files and folders only"):
        file_utils.load_archive_file(path)
    assert os.listdir(tmp_path) == ["stranger.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME])
def test_an_archive_that_becomes_much_larger(kind, tmp_path):
    path = tmp_path / "stranger.tar.gz"
    made = entry("m/model.pt", kind)
    made.size = 2**27
    with gzip.open(path, "wb") as file:
        file.write(made.tobuf(tarfile.GNU_FORMAT) + bytes(2**27))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"no more than 16 times its size, but .* has more than 2,\d+,\d+ bytes"):
        file_utils.load_archive_file(str(path))
    with pytest.raises(ValueError, match="is damaged or no checkpoint at all"):
        reader.read(str(path))  # which it is not
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**26
    assert os.listdir(tmp_path) == ["stranger.tar.gz"]


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x" * 1000)
    with pytest.raises(UserError, match=r"a model must be a folder or a tar archive, but .*model.pt is neither"):
        file_utils.load_archive_file(str(tmp_path / "model.pt"))


def test_a_download_is_replaced_by_what_is_in_it(archive, monkeypatch):
    """So it is found unpacked the next time, as in fairseq."""
    cached = archive.rename(archive.with_name("0123"))
    monkeypatch.setattr(file_utils, "cached_path", lambda url, cache_dir=None: str(cached))
    url = "https://example.org/model.tar.gz"
    assert file_utils.load_archive_file(url) == str(cached)
    assert sorted(os.listdir(cached)) == ["dict.de.txt", "dict.en.txt", "model.pt"]
    assert file_utils.load_archive_file(url) == str(cached)


def test_what_is_not_there_is_said_as_by_fairseq(caplog):
    with caplog.at_level("INFO"):
        assert file_utils.load_archive_file("/no/such/folder") is None
    assert "was not found in archive name list" in caplog.text
