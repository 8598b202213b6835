"""The command `layerdrop-export`: what it writes translates and scores as fairseq's commands do; what it refuses."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import signal
import time

import pytest
import torch

from layerdrop_plugin.cli import export

KEPT = {"full": [], "pruned": ["--encoder", "0,3", "--decoder", "every_other:2"]}
OVERRIDES = {"full": "{}", "pruned": "{'encoder_layers_to_keep': '0,3', 'decoder_layers_to_keep': '0,2'}"}


@pytest.fixture(scope="module")
def trained(tiny, data, train, tmp_path_factory):
    """A checkpoint that has learned enough to translate sentences differently."""
    folder = tmp_path_factory.mktemp("trained")
    argv = [data["transformer"], "--arch", "layerdrop_transformer", *tiny["transformer"], "--max-update", 100]
    train(*argv, "--encoder-normalize-before", "--decoder-normalize-before", "--save-dir", folder)
    return folder / "checkpoint_last.pt"


def shown_by(usage):
    """What the lines print that are to load a folder."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec("\n".join(line.strip() for line in usage), {})
    return shown.getvalue()


def test_translations(trained, command, data, tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    found = {}
    for depth, kept in KEPT.items():
        done = command("layerdrop-export", trained, "--to", "ctranslate2", *kept, tmp_path / depth)
        layers = "encoder layers [0,3] of 4; decoder layers [0,2] of 4" if kept else "all layers"
        first, second, *usage = done.stdout.splitlines()
        assert (first, done.stderr) == (f"{tmp_path}/{depth}: CTranslate2, float32, {layers}", "")
        assert second == f"{tmp_path}/{depth}: this loads it:"
        assert re.fullmatch(r"\[('\w+'(, )?)+\]\n", shown_by(usage))
        argv = [data["transformer"], "--user-dir", "layerdrop_plugin", "--cpu", "--path", trained, "--beam", 1]
        argv += ["--max-len-b", 12, "--batch-size", 24, "--model-overrides", OVERRIDES[depth]]
        output = command("fairseq-generate", *argv).stdout
        sentences = dict(re.findall(r"^S-(\d+)\t(.*)$", output, re.MULTILINE))
        expected = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", output, re.MULTILINE))
        results = ctranslate2.Translator(str(tmp_path / depth)).translate_batch(
            [words.split() for words in sentences.values()], beam_size=1, max_decoding_length=12
        )
        found[depth] = [" ".join(result.hypotheses[0]) for result in results]
        assert found[depth] == [expected[number] for number in sentences]
        assert len(set(found[depth])) > 12  # of 24 sentences
    assert found["full"] != found["pruned"]


def test_a_language_model(full, command, tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    argv = ["--to", "ctranslate2", "--decoder", "first:1", "--quantization", "int8", tmp_path / "out"]
    done = command("layerdrop-export", full["transformer_lm"], *argv)
    first, _, *usage = done.stdout.splitlines()
    assert first == f"{tmp_path}/out: CTranslate2, int8, decoder layers [0] of 4"
    assert re.fullmatch(r"\['<unk>', '<unk>'(, '\S+')*\]\n", shown_by(usage))
    (found,) = ctranslate2.Generator(str(tmp_path / "out")).score_batch([["</s>", "w1", "w2", "</s>"]])
    assert found.tokens == ["w1", "w2", "</s>"]


def test_roberta(full, command, tmp_path):
    transformers = pytest.importorskip("transformers")
    if not transformers.is_torch_available():
        pytest.skip(f"transformers {transformers.__version__} need a newer torch")
    done = command("layerdrop-export", full["roberta"], "--to", "huggingface", tmp_path / "out", "--encoder", "0,3")
    *said, first, second, third = done.stdout.splitlines(keepends=True)
    assert re.fullmatch(r"tensor\(\[\[(\d+(, )?){4}\]\]\)\n", shown_by([first, second, third]))
    assert "".join(said) == (
        f"{tmp_path}/out: RobertaForMaskedLM, encoder layers [0,3] of 4\n"
        f"{tmp_path}/out: it has no tokenizer: the indices of words are their lines in the checkpoint's dict.txt, "
        "after <s>, <pad>, </s> and <unk>.\n"
        f"{tmp_path}/out: this loads it:\n"
    )
    assert done.stderr == ""
    model = transformers.AutoModelForMaskedLM.from_pretrained(str(tmp_path / "out"))
    assert len(model.roberta.encoder.layer) == 2


KILLED = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
from ctranslate2.specs import model_spec
from layerdrop_plugin.cli import export

save = model_spec.LanguageModelSpec.save
def killed(self, folder):
    save(self, folder)
    os.kill(os.getpid(), int(sys.argv[1]))
model_spec.LanguageModelSpec.save = killed
export.main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed_in_the_middle_of_the_write(number, full, command, tmp_path):
    pytest.importorskip("ctranslate2")
    out, work = tmp_path / "out", tmp_path / "tmp"
    out.mkdir()
    work.mkdir()
    (out / "model.bin").write_bytes(b"old")
    (out / "README").write_bytes(b"mine")
    argv = [full["transformer_lm"], "--to", "ctranslate2", out, "--force"]
    command("python", "-c", KILLED, int(number), *argv, status=-number, env={"TMPDIR": str(work)})
    assert sorted(os.listdir(out)) == ["README", "model.bin"]
    assert (out / "model.bin").read_bytes() == b"old"
    left = [*work.iterdir(), *tmp_path.glob(".out.*")]
    assert len(left) == (2 if number == signal.SIGKILL else 0)
    for folder in left:
        os.utime(folder, (time.time() - 25 * 3600,) * 2)  # they are a day old
    command("layerdrop-export", *argv, env={"TMPDIR": str(work)})
    assert sorted(os.listdir(out)) == ["README", "config.json", "model.bin", "vocabulary.json"]
    assert (sorted(os.listdir(tmp_path)), os.listdir(work)) == (["out", "tmp"], [])


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """A function from arguments to the line with which the command refuses them."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        before = sorted(os.listdir())
        with pytest.raises(SystemExit) as ended:
            export.main(list(map(str, argv)))
        shown = capsys.readouterr()
        assert (ended.value.code, shown.out, sorted(os.listdir())) == (2, "", before)
        line = shown.err.splitlines()[-1]
        assert line.startswith("layerdrop-export: error: ")
        return line[len("layerdrop-export: error: ") :]

    return run


TO = ["--to", "ctranslate2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["c.pt", "out"], "the following arguments are required: --to {ctranslate2,huggingface}"),
        (["c.pt", *TO], "the following arguments are required: -o/--output"),
        (
            ["c.pt", "out", "--to", "onnx"],
            "argument --to: invalid choice: 'onnx' (choose from 'ctranslate2', 'huggingface')",
        ),
        (["c.pt", "out", *TO, "--encoder", "0,a"], "`--encoder` must be indices from 0 as in '0,2,4' or '0-3,8', "),
        (["c.pt", "out", *TO, "--decoder", ""], "`--decoder` must keep at least one layer, but is '' instead."),
        (["c.pt", "out", *TO, "--head", "x"], "`--head` must be left out with `--to ctranslate2`, but is 'x'."),
        (["c.pt", "out", *TO, "--quantization", "int4"], "argument --quantization: invalid choice: 'int4' "),
        (["c.pt", "no/out", *TO], "`OUT` must be in a folder that exists, but is 'no/out' instead."),
        (
            ["c.pt", "there", *TO],
            "`OUT` must be a new folder, but there exists; --force replaces the same files in it.",
        ),
        (
            ["c.pt", "there", *TO, "--force"],
            "`OUT` must be a folder with model.bin or model.safetensors for --force to replace files in it, but there "
            "is not.",
        ),
        (
            ["c.pt", "out", "--to", "huggingface", "--quantization", "int8"],
            "`--quantization` must be left out with `--to huggingface`, but is 'int8'.",
        ),
        (
            ["c.pt", "out", "--to", "huggingface", "--source-lang", "en"],
            "`--source-lang` must be left out with `--to huggingface`, but is 'en'.",
        ),
        (
            ["c.pt", "out", "--to", "huggingface", "--target-lang", "de"],
            "`--target-lang` must be left out with `--to huggingface`, but is 'de'.",
        ),
    ],
)
def test_bad_options_without_a_look_at_the_checkpoint(arguments, message, refused, tmp_path):
    (tmp_path / "there").mkdir()
    found = refused(*arguments).replace(
        "(choose from ctranslate2, huggingface)", "(choose from 'ctranslate2', 'huggingface')"
    )
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--encoder", "0"], "`--encoder` must be left out: the model has no encoder (got '0')."),
        (["--decoder", "4"], "`--decoder` must name layers from 0 to 3, but has 4 in '4'."),
        (["--data", "no"], "`--data` must be a folder with dict.txt, but no has none."),
    ],
)
def test_bad_options_for_this_checkpoint(arguments, message, refused, full):
    pytest.importorskip("ctranslate2")
    assert refused(full["transformer_lm"], *TO, "out", *arguments) == message


def test_a_checkpoint_that_is_none(refused, tmp_path):
    pytest.importorskip("ctranslate2")
    (tmp_path / "c.pt").write_text("hello")
    assert refused("c.pt", *TO, "out") == (
        "`CKPT` must be the file of a checkpoint, but c.pt is damaged or no checkpoint at all."
    )


def test_a_language_model_with_adaptive_input(configure, tiny, data, full, refused, tmp_path):
    pytest.importorskip("ctranslate2")
    argv = ["--adaptive-input", "--adaptive-input-cutoff", "20,30", "--adaptive-softmax-cutoff", "20,30"]
    cfg = configure(data["transformer_lm"], "--arch", "layerdrop_transformer_lm", *tiny["transformer_lm"], *argv)
    state = torch.load(full["transformer_lm"])
    state["cfg"]["model"] = cfg.model
    torch.save(state, tmp_path / "adaptive.pt")
    message = "`--adaptive-input` must be off for CTranslate2, but is True."
    assert refused("adaptive.pt", *TO, "out") == message


@pytest.mark.parametrize(
    ("target", "package"),
    [("ctranslate2", "ctranslate2"), ("huggingface", "transformers"), ("huggingface", "safetensors")],
)
def test_an_extra_that_is_not_installed(target, package, refused, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found("os" if "." not in name else name)
    )
    assert refused("c.pt", "--to", target, "out") == (
        f'`--to {target}` needs {package}: pip install "layerdrop_plugin[{target}]", '
        "or in a checkout: bash scripts/setup.sh --all."
    )


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        export.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    example = "checkpoint_best.pt --to ctranslate2 -o out --encoder every_other:3 --decoder 0,2,4"
    assert f"layerdrop-export {example}\n" in shown
    assert "adaptive input" in shown
