"""The four options: on the command line, in YAML and in overrides; what they refuse, before any data is read."""

from argparse import ArgumentParser, Namespace

import pytest
from omegaconf import OmegaConf

from layerdrop_plugin.fairseq_adapter import options
from layerdrop_plugin.fairseq_adapter.architectures import check_names, known_names

BOTH = ("encoder", "decoder")


def parser(stacks=BOTH, model="layerdrop_transformer"):
    made = ArgumentParser(prog="fairseq-train")
    made.add_argument("--encoder-layerdrop", help="fairseq's own, replaced")
    options.add_options(made, model, stacks)
    return made


def test_names_and_flags():
    assert [(o.name, o.flag, o.stack) for o in options.OPTIONS] == [
        ("encoder_layerdrop", "--encoder-layerdrop", "encoder"),
        ("encoder_layers_to_keep", "--encoder-layers-to-keep", "encoder"),
        ("decoder_layerdrop", "--decoder-layerdrop", "decoder"),
        ("decoder_layers_to_keep", "--decoder-layers-to-keep", "decoder"),
    ]


def test_a_rate_becomes_a_number_and_a_specification_stays_as_written():
    args = parser().parse_args(["--encoder-layerdrop", "0.2", "--decoder-layers-to-keep", "every_other:3"])
    assert args == Namespace(
        encoder_layerdrop=0.2,
        encoder_layers_to_keep=None,
        decoder_layerdrop=None,
        decoder_layers_to_keep="every_other:3",
    )


def test_help_has_each_option_once_with_an_example():
    text = " ".join(parser().format_help().split())
    assert "fairseq's own" not in text
    for option in options.OPTIONS:
        assert text.count(option.flag + " " + option.metavar) == 2  # usage and description
    assert "(e.g. 0.2)" in text and "(e.g. every_other:3)" in text
    assert "--encoder" not in parser(("decoder",), "layerdrop_transformer_lm").format_help()


GRAMMAR = "indices from 0 as in '0,2,4' or '0-3,8', 'every_other:K', 'first:K', 'last:K', or 'drop:P' with 0 < P <= 0.5"
REFUSED = [
    ("--encoder-layerdrop", "-0.1", "`--encoder-layerdrop` must be at least 0 and below 1, but is -0.1 instead."),
    ("--decoder-layerdrop", "1", "`--decoder-layerdrop` must be at least 0 and below 1, but is 1 instead."),
    ("--decoder-layerdrop", "x", "`--decoder-layerdrop` must be a number, but is 'x' instead."),
    ("--decoder-layerdrop", "nan", "`--decoder-layerdrop` must be at least 0 and below 1, but is nan instead."),
    ("--encoder-layers-to-keep", "-1", "`--encoder-layers-to-keep` must count layers from 0, but has -1 in '-1'."),
    (
        "--decoder-layers-to-keep",
        "1,1",
        "`--decoder-layers-to-keep` must name a layer once, but has 1 twice in '1,1'.",
    ),
    ("--decoder-layers-to-keep", "", "`--decoder-layers-to-keep` must keep at least one layer, but is '' instead."),
    ("--decoder-layers-to-keep", "even", f"`--decoder-layers-to-keep` must be {GRAMMAR}, but is 'even' instead."),
]


@pytest.mark.parametrize(("flag", "value", "message"), REFUSED)
def test_the_command_line_refuses_in_one_line(flag, value, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/bin/fairseq-train"])
    with pytest.raises(SystemExit) as end:
        parser().parse_args([f"{flag}={value}"])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"fairseq-train: error: {message}\n"


@pytest.mark.parametrize("flag", ["--encoder-layerdrop", "--encoder-layers-to-keep"])
def test_a_model_without_the_stack_refuses_its_options(flag, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fairseq_cli/train.py"])
    with pytest.raises(SystemExit):
        parser(("decoder",), "layerdrop_transformer_lm").parse_args([f"{flag}=0"])
    message = f"`{flag}` must be left out: layerdrop_transformer_lm has no encoder (got '0')."
    assert capsys.readouterr().err == f"train.py: error: {message}\n"


@pytest.mark.parametrize("config", [lambda values: Namespace(**values), OmegaConf.create])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"encoder_layers_to_keep": "0,4"},
            "`--encoder-layers-to-keep` must name layers from 0 to 3, but has 4 in '0,4'.",
        ),
        (
            {"decoder_layers_to_keep": [0, 2]},
            "`--decoder-layers-to-keep` must name layers from 0 to 1, but has 2 in [0, 2].",
        ),
        (
            {"decoder_layers_to_keep": "first:3"},
            "`--decoder-layers-to-keep` must not keep more layers than there are, but 'first:3' keeps 3 of 2.",
        ),
        ({"encoder_layerdrop": 1.5}, "`--encoder-layerdrop` must be at least 0 and below 1, but is 1.5 instead."),
        ({"decoder_layerdrop": "much"}, "`--decoder-layerdrop` must be a number, but is 'much' instead."),
        (
            {"decoder_layers": None, "decoder_layers_to_keep": "0"},
            "`decoder_layers_to_keep` must be left out: layerdrop_x has no decoder (got '0').",
        ),
        (
            {"decoder_layers": None, "decoder_layerdrop": 0.1},
            "`decoder_layerdrop` must be left out: layerdrop_x has no decoder (got 0.1).",
        ),
    ],
)
def test_a_configuration_is_checked_against_its_depths(config, change, message):
    values = {"arch": "layerdrop_x", "encoder_layers": 4, "decoder_layers": 2}
    options.check_options(config(values))
    with pytest.raises(ValueError) as error:
        options.check_options(config({**values, **change}))
    assert str(error.value) == message


def test_what_is_right_passes():
    options.check_options(
        Namespace(
            arch="a",
            encoder_layers=4,
            encoder_layerdrop=0.5,
            encoder_layers_to_keep="every_other:2",
            decoder_layerdrop=0,  # fairseq's default for a stack that is not there
        )
    )


def test_yaml_with_an_unknown_option_is_refused():
    known = OmegaConf.create({"_name": "layerdrop_transformer_lm", "decoder_layerdrop": 0.1, "decoder_layers": 4})
    check_names(known, "layerdrop_transformer_lm")
    wrong = OmegaConf.create({"_name": "layerdrop_transformer_lm", "decoder_layer_drop": 0.1})
    with pytest.raises(ValueError) as error:
        check_names(wrong, "layerdrop_transformer_lm")
    message = "`model.decoder_layer_drop` must be an option of layerdrop_transformer_lm, but is none."
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arch", "some"),
    [
        (
            "layerdrop_transformer_iwslt_de_en",
            {"encoder_layerdrop", "share_all_embeddings", "dropout", "decoder_layers"},
        ),
        ("layerdrop_transformer_lm_wiki103", {"decoder_layers_to_keep", "adaptive_input", "adaptive_softmax_cutoff"}),
        ("layerdrop_roberta_base", {"encoder_layers_to_keep", "untie_weights_roberta", "max_positions"}),
    ],
)
def test_the_options_of_an_architecture_are_known(arch, some):
    names = known_names(arch)
    assert some <= names
    assert "bogus" not in names


@pytest.mark.parametrize(("given", "rate"), [("0.2", 0.2), (0.5, 0.5), (0, 0.0), (None, 0.0)])
def test_rates_from_yaml_and_overrides_become_numbers(given, rate):
    for make in (lambda **kw: Namespace(**kw), lambda **kw: OmegaConf.create(kw)):
        cfg = make(_name="layerdrop_transformer_lm", decoder_layers=4, decoder_layerdrop=given)
        options.check_options(cfg)
        assert cfg.decoder_layerdrop == rate and isinstance(cfg.decoder_layerdrop, float)


def test_sizes_that_are_no_depth_are_left_alone():
    cfg = Namespace(arch="fconv", encoder_layers="[(256, 3)] * 4", decoder_layers="[(256, 3)] * 3")
    options.check_options(cfg)
    assert vars(cfg) == {"arch": "fconv", "encoder_layers": "[(256, 3)] * 4", "decoder_layers": "[(256, 3)] * 3"}


def test_yaml_takes_a_list_for_a_stock_language_model(data, tiny):
    from argparse import Namespace as Task

    from fairseq import models
    from fairseq.data import Dictionary

    words = Dictionary()
    task = Task(source_dictionary=words, target_dictionary=words, args=Task(tokens_per_sample=16), cfg=None)
    root = OmegaConf.create(
        {"model": {"_name": "transformer_lm", "decoder_layers": 4, "decoder_layers_to_keep": [0, 2], "tpu": False}}
    )
    sizes = {"decoder_embed_dim": 8, "decoder_input_dim": 8, "decoder_output_dim": 8, "decoder_attention_heads": 1}
    root.model.update({**sizes, "tokens_per_sample": 16, "max_target_positions": 16, "add_bos_token": False})
    model = models.build_model(root.model, task)
    assert len(model.decoder.layers) == 2
    assert (root.model.decoder_layers, root.model.decoder_layers_to_keep) == (2, None)
