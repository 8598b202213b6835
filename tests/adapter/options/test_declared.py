"""The options: on the command line, in YAML and in overrides; what they refuse, before any data is read."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import pytest
from omegaconf import OmegaConf
from shared.grammar import LAYERS, RATES

from layerdrop_plugin.fairseq_adapter.modeling.architectures import check_names, known_names
from layerdrop_plugin.fairseq_adapter.options import declared, model_options

BOTH = ("encoder", "decoder")


def parser(stacks=BOTH, model="layerdrop_transformer"):
    made = ArgumentParser(prog="fairseq-train")
    made.add_argument("--encoder-layerdrop", help="fairseq's own, replaced")
    declared.add_options(made, model, stacks)
    return made


def test_names_and_flags():
    assert [(o.name, o.flag, o.stack) for o in declared.OPTIONS] == [
        ("encoder_layerdrop", "--encoder-layerdrop", "encoder"),
        ("encoder_layerdrop_learned", "--encoder-layerdrop-learned", "encoder"),
        ("encoder_headdrop", "--encoder-headdrop", "encoder"),
        ("encoder_ffndrop", "--encoder-ffndrop", "encoder"),
        ("encoder_sublayerdrop", "--encoder-sublayerdrop", "encoder"),
        ("encoder_layers_to_keep", "--encoder-layers-to-keep", "encoder"),
        ("decoder_layerdrop", "--decoder-layerdrop", "decoder"),
        ("decoder_layerdrop_learned", "--decoder-layerdrop-learned", "decoder"),
        ("decoder_headdrop", "--decoder-headdrop", "decoder"),
        ("decoder_ffndrop", "--decoder-ffndrop", "decoder"),
        ("decoder_sublayerdrop", "--decoder-sublayerdrop", "decoder"),
        ("decoder_layers_to_keep", "--decoder-layers-to-keep", "decoder"),
        ("layerdrop_warmup_updates", "--layerdrop-warmup-updates", None),
        ("layerdrop_cooldown_updates", "--layerdrop-cooldown-updates", None),
        ("layerdrop_depths", "--layerdrop-depths", None),
        ("layerdrop_validate_depths", "--layerdrop-validate-depths", None),
    ]


def test_one_rate_becomes_a_number_and_what_else_is_a_specification_stays_as_written():
    arguments = [
        "--encoder-layerdrop",
        "0.2",
        "--decoder-layers-to-keep",
        "every_other:3",
        "--decoder-layerdrop-learned",
    ]
    arguments += [
        "--encoder-headdrop",
        "target:6",
        "--encoder-ffndrop",
        "0.1,0.2",
        "--decoder-sublayerdrop",
        "linear:0:0.4",
    ]
    args = parser().parse_args([*arguments, "--layerdrop-warmup-updates", "4000"])
    given = {
        "encoder_layerdrop": 0.2,
        "encoder_headdrop": "target:6",
        "encoder_ffndrop": "0.1,0.2",
        "decoder_layerdrop_learned": True,
        "decoder_sublayerdrop": "linear:0:0.4",
        "decoder_layers_to_keep": "every_other:3",
        "layerdrop_warmup_updates": 4000,
    }
    assert vars(args) == {**dict.fromkeys((o.name for o in declared.OPTIONS), None), **given}


def test_help_has_each_option_once_with_an_example():
    made = parser()
    text = " ".join(made.format_help().split())
    assert "fairseq's own" not in text
    helps = {action.option_strings[0]: action.help for action in made._actions}
    for option in declared.OPTIONS:
        if option.kind is declared.SWITCH:
            assert f"[{option.flag}]" in text
        else:
            assert text.count(f"{option.flag} {option.kind.metavar}") == 2  # usage and description
            example = helps[option.flag].rpartition("(e.g. ")[2].rstrip(")")
            assert option.kind.read(example, option.flag) is not None
    assert "(e.g. 0.2)" in text
    assert "(e.g. every_other:3)" in text
    assert "(e.g. linear:0:0.4)" in text
    assert "(self-attention, FFN)" in text
    assert "(self-attention, cross-attention, FFN)" in text
    assert "--encoder" not in parser(("decoder",), "layerdrop_transformer_lm").format_help()


UPDATES = "must be a whole number of at least 0, but is "


REFUSED = [
    ("--encoder-layerdrop", "-0.1", "`--encoder-layerdrop` must be at least 0 and below 1, but is -0.1 instead."),
    ("--decoder-layerdrop", "1", "`--decoder-layerdrop` must be at least 0 and below 1, but is 1 instead."),
    ("--decoder-layerdrop", "x", f"`--decoder-layerdrop` must be {RATES}, but is 'x' instead."),
    ("--encoder-headdrop", "0.1,x", "`--encoder-headdrop` must be a number, but is 'x' instead."),
    ("--decoder-ffndrop", "linear:0:1", "`--decoder-ffndrop` must be at least 0 and below 1, but is 1 instead."),
    (
        "--encoder-sublayerdrop",
        "target:0",
        "`--encoder-sublayerdrop`: the K of 'target:K' must be a whole number of at least 1, but is '0' in 'target:0'.",
    ),
    ("--layerdrop-warmup-updates", "-1", f"`--layerdrop-warmup-updates` {UPDATES}'-1' instead."),
    ("--layerdrop-warmup-updates", "1.5", f"`--layerdrop-warmup-updates` {UPDATES}'1.5' instead."),
    ("--layerdrop-cooldown-updates", "\u0663", f"`--layerdrop-cooldown-updates` {UPDATES}'\u0663' instead."),
    ("--decoder-layerdrop", "nan", "`--decoder-layerdrop` must be at least 0 and below 1, but is nan instead."),
    ("--encoder-layers-to-keep", "-1", "`--encoder-layers-to-keep` must count layers from 0, but has -1 in '-1'."),
    (
        "--decoder-layers-to-keep",
        "1,1",
        "`--decoder-layers-to-keep` must name a layer once, but has 1 twice in '1,1'.",
    ),
    ("--decoder-layers-to-keep", "", "`--decoder-layers-to-keep` must keep at least one layer, but is '' instead."),
    ("--decoder-layers-to-keep", "even", f"`--decoder-layers-to-keep` must be {LAYERS}, but is 'even' instead."),
]


@pytest.mark.parametrize(("flag", "value", "message"), REFUSED)
def test_the_command_line_refuses_in_one_line(flag, value, message, in_fairseq_train, capsys):
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(parser().parse_args, [f"{flag}={value}"])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"fairseq-train: error: {message}\n"


@pytest.mark.parametrize("flag", ["--encoder-layerdrop", "--encoder-layers-to-keep"])
def test_a_model_without_the_stack_refuses_its_options(flag, in_fairseq_train, capsys):
    with pytest.raises(SystemExit):
        in_fairseq_train(parser(("decoder",), "layerdrop_transformer_lm").parse_args, [f"{flag}=0"])
    message = f"`{flag}` must be left out: layerdrop_transformer_lm has no encoder (got '0')."
    assert capsys.readouterr().err == f"fairseq-train: error: {message}\n"


@pytest.mark.parametrize("arguments", [["--encoder-layerdrop-learned"], ["--encoder-layerdrop-learned=x"]])
def test_a_model_without_the_stack_refuses_its_switch(arguments, in_fairseq_train, capsys):
    with pytest.raises(SystemExit) as end:
        in_fairseq_train(parser(("decoder",), "layerdrop_transformer_lm").parse_args, arguments)
    got = "'x'" if "=x" in arguments[0] else "True"
    message = f"`--encoder-layerdrop-learned` must be left out: layerdrop_transformer_lm has no encoder (got {got})."
    assert (end.value.code, capsys.readouterr().err) == (2, f"fairseq-train: error: {message}\n")


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
        ({"decoder_layerdrop": "much"}, f"`--decoder-layerdrop` must be {RATES}, but is 'much' instead."),
        ({"decoder_headdrop": [0.1, 2]}, "`--decoder-headdrop` must be at least 0 and below 1, but is 2 instead."),
        (
            {"encoder_layerdrop": [0.1, 0.2]},
            "`--encoder-layerdrop` must have a rate for each of 4 layers, but has 2 in '0.1,0.2'.",
        ),
        (
            {"encoder_layerdrop": "target:5"},
            "`--encoder-layerdrop` must not aim for more than there are, but 'target:5' keeps 5 of 4.",
        ),
        (
            {"encoder_headdrop": "target:9"},
            "`--encoder-headdrop` must not aim for more than there are, but 'target:9' keeps 9 of 8.",
        ),
        ({"encoder_layerdrop": {"rate": 0.1}}, "`--encoder-layerdrop` must be a number, but is {'rate': 0.1} instead."),
        (
            {"decoder_layerdrop_learned": "yes"},
            "`--decoder-layerdrop-learned` must be true or false, but is 'yes' instead.",
        ),
        ({"layerdrop_warmup_updates": 1.5}, f"`--layerdrop-warmup-updates` {UPDATES}1.5 instead."),
        ({"layerdrop_cooldown_updates": True}, f"`--layerdrop-cooldown-updates` {UPDATES}True instead."),
        ({"layerdrop_cooldown_updates": -5}, f"`--layerdrop-cooldown-updates` {UPDATES}-5 instead."),
        (
            {"decoder_layers": None, "decoder_layerdrop_learned": True},
            "`decoder_layerdrop_learned` must be left out: layerdrop_x has no decoder (got True).",
        ),
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
    values = {"arch": "layerdrop_x", "encoder_layers": 4, "decoder_layers": 2, "encoder_attention_heads": 8}
    model_options.read(config(values))
    with pytest.raises(ValueError) as error:
        model_options.read(config({**values, **change}))
    assert str(error.value) == message


def test_what_is_right_passes():
    options = model_options.read(
        Namespace(
            arch="a",
            encoder_layers=4,
            encoder_layerdrop=0.5,
            encoder_layers_to_keep="every_other:2",
            decoder_layerdrop=0,  # fairseq's default for a stack that is not there
        )
    )
    assert options.layers_to_keep == {"encoder": "every_other:2"}
    assert options.stacks["encoder"].layerdrop == (0.5, 0.5, 0.5, 0.5)
    assert list(options.stacks) == ["encoder"]


def test_yaml_with_an_unknown_option_is_refused():
    known = OmegaConf.create({"_name": "layerdrop_transformer_lm", "decoder_layerdrop": 0.1, "decoder_layers": 4})
    check_names(known, "layerdrop_transformer_lm")
    wrong = OmegaConf.create({"_name": "layerdrop_transformer_lm", "decoder_layer_drop": 0.1})
    with pytest.raises(ValueError) as error:
        check_names(wrong, "layerdrop_transformer_lm")
    assert str(error.value) == (
        "`model.decoder_layer_drop` must be an option of layerdrop_transformer_lm, but is none; did you mean "
        "'decoder_layerdrop'?"
    )


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
        model_options.read(cfg)
        assert cfg.decoder_layerdrop == rate
        assert isinstance(cfg.decoder_layerdrop, float)


MAKERS = [lambda **values: Namespace(**values), lambda **values: OmegaConf.create(values)]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("given", "kept", "by_layer"),
    [
        (0.25, 0.25, (0.25, 0.25, 0.25)),
        ("0.25", 0.25, (0.25, 0.25, 0.25)),
        ([0.25], 0.25, (0.25, 0.25, 0.25)),
        ([0, 0.1, 0.2], "0,0.1,0.2", (0.0, 0.1, 0.2)),
        ("0.1, 0.2, 0.3", "0.1, 0.2, 0.3", (0.1, 0.2, 0.3)),
        ("linear:0:0.5", "linear:0:0.5", (0.0, 0.25, 0.5)),
        ("target:3", "target:3", (0.0, 0.0, 0.0)),
        (None, 0.0, (0.0, 0.0, 0.0)),
    ],
)
def test_rates_in_a_configuration(given, kept, by_layer, make):
    cfg = make(_name="layerdrop_transformer_lm", decoder_layers=3, decoder_layerdrop=given, decoder_ffndrop=given)
    for _ in range(2):  # fairseq builds from what was checked before, as from a checkpoint
        read = model_options.read(cfg)
        assert (cfg.decoder_layerdrop, cfg.decoder_ffndrop) == (kept, kept)
        assert type(cfg.decoder_ffndrop) is type(kept)
        assert read.stacks["decoder"].ffndrop == by_layer
        assert read.stacks["decoder"].headdrop == (0.0, 0.0, 0.0)  # an old checkpoint has no such option


@pytest.mark.parametrize("make", MAKERS)
def test_a_target_of_heads_is_of_those_of_an_attention(make):
    cfg = make(decoder_layers=2, decoder_attention_heads=8, decoder_headdrop="target:6", decoder_layerdrop="target:1")
    read = model_options.read(cfg).stacks["decoder"]
    assert (read.headdrop, read.layerdrop) == ((0.25, 0.25), (0.5, 0.5))


def test_sizes_that_are_no_depth_are_left_alone():
    cfg = Namespace(arch="fconv", encoder_layers="[(256, 3)] * 4", decoder_layers="[(256, 3)] * 3")
    model_options.read(cfg)
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decoder_layerdrop", "linear:0:0.5"),
        ("decoder_layerdrop", [0.1, 0.2]),
        ("decoder_headdrop", 0.5),
        ("decoder_layerdrop_learned", True),
    ],
)
def test_a_stock_model_refuses_in_one_line_what_only_ours_can_do(name, value):
    """Unchecked, fairseq would compare a rate that is text with 0, and never look at what it does not know."""
    from fairseq import models
    from fairseq.data import Dictionary

    words = Dictionary()
    task = Namespace(source_dictionary=words, target_dictionary=words, args=Namespace(tokens_per_sample=16), cfg=None)
    sizes = dict.fromkeys(("decoder_embed_dim", "decoder_input_dim", "decoder_output_dim", "tokens_per_sample"), 16)
    cfg = Namespace(_name="transformer_lm", decoder_layers=2, max_target_positions=16, **sizes)
    vars(cfg).update({"decoder_layerdrop": 0.2, name: value})
    with pytest.raises(ValueError) as error:
        models.build_model(cfg, task)
    assert str(error.value).startswith(f"`--{name.replace('_', '-')}` must be")
    assert "\n" not in str(error.value)
