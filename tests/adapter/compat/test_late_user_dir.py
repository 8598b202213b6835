"""What a user got wrong ends any command of fairseq's in one line, also where the user dir was read late."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fairseq.distributed import utils

from layerdrop_plugin.fairseq_adapter.compat import ACTIVE, late_user_dir


@pytest.fixture
def cfg(configure, data, tiny, tmp_path):
    folder = tmp_path / "save"
    return configure(data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], "--save-dir", folder)


def test_it_is_needed_here():
    assert ACTIVE["late_user_dir"] == "fairseq shows a traceback for a user's error"


def fail(cfg, made=()):
    folder = Path(cfg.checkpoint.save_dir)
    folder.mkdir(exist_ok=True, parents=True)
    for name in made:
        (folder / name).touch()
    raise AssertionError("too few words")


@pytest.mark.parametrize("place", ["save", "runs/1/save", "runs//1/save/"])
def test_one_line_and_no_empty_folder(place, cfg, in_fairseq_train, tmp_path, capsys):
    cfg.checkpoint.save_dir = f"{tmp_path}/{place}"
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(utils.call_main, cfg, fail)
    line = "fairseq-train: error: fairseq refuses what it was given: too few words\n"
    assert (end.value.code, capsys.readouterr().err) == (2, line)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_new_or_not_empty_stays(cfg, in_fairseq_train, tmp_path):
    for made in (("checkpoint1.pt",), ()):
        with pytest.raises(SystemExit):
            in_fairseq_train(utils.call_main, cfg, fail, made=made)
        assert [path.name for path in (tmp_path / "save").iterdir()] == ["checkpoint1.pt"]
    (tmp_path / "save/checkpoint1.pt").unlink()
    with pytest.raises(SystemExit):
        in_fairseq_train(utils.call_main, cfg, fail)
    assert (tmp_path / "save").is_dir()


def test_without_the_plugin_all_is_as_it_was(cfg, monkeypatch):
    monkeypatch.delitem(sys.modules, late_user_dir.PLUGIN)
    with pytest.raises(AssertionError):
        utils.call_main(cfg, fail)
