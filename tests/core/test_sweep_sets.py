"""Sets of layers by name: what they keep of each model, and one line for what is wrong."""

from __future__ import annotations

import json

import pytest

from layerdrop_plugin import sweep_sets
from layerdrop_plugin.sweep import Point
from layerdrop_plugin.sweep_sets import NamedSet

BOTH = ["encoder", "decoder"]
FOUR = {"encoder": 4, "decoder": 4}


def test_a_set_as_written():
    assert sweep_sets.parse("a b=0-2+first:2", BOTH) == NamedSet(
        "a b", {"encoder": "0-2", "decoder": "first:2"}, False, "sets"
    )
    assert sweep_sets.point(sweep_sets.parse("m=0-2+last:2", BOTH), FOUR) == Point("m", ((0, 1, 2), (2, 3)))
    assert sweep_sets.point(sweep_sets.parse("m=0,3", ["decoder"]), FOUR) == Point("m", ((0, 1, 2, 3), (0, 3)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1", "`sets` must be NAME=LAYERS as in mine=0,1,5+0,3,4, but is '0,1' instead."),
        ("=0,1", "`sets` must be NAME=LAYERS as in mine=0,1,5+0,3,4, but is '=0,1' instead."),
        ("full=0+0", "`sets` must have names of their own, but 'full' has its meaning."),
        ("first=0+0", "`sets` must have names of their own, but 'first' has its meaning."),
        ("search=0+0", "`sets` must have names of their own, but 'search' has its meaning."),
        ("m=0,0+1", "`sets` must name a layer once, but has 0 twice in '0,0'."),
        ("m=0", "`sets` must name the encoder's and the decoder's layers, with + between stacks, "
         "but is 'm=0' instead."),
        ("m=0+0+0", "`sets` must name the encoder's and the decoder's layers, with + between stacks, "
         "but is 'm=0+0+0' instead."),
    ],
)  # fmt: skip
def test_sets_that_are_none(text, message):
    with pytest.raises(ValueError) as error:
        sweep_sets.parse(text, BOTH)
    assert str(error.value) == message


def test_a_set_that_a_model_lacks_is_left_out():
    sets = [sweep_sets.parse("m=0,3+0,1", BOTH), sweep_sets.parse("m=0+0", BOTH)]
    points, left_out = sweep_sets.points_of(sets, {"deep": FOUR, "flat": {"encoder": 2, "decoder": 2}})
    assert points == {
        "deep": [Point("m", ((0, 3), (0, 1))), Point("m", ((0,), (0,)))],
        "flat": [Point("m", ((0,), (0,)))],
    }
    assert left_out == ["flat lacks 'm': its row is left out (`sets` must name layers from 0 to 1, but has 3 in '0,3')"]
    needed = {"deep": {"decoder": (3,)}}
    with pytest.raises(ValueError) as error:
        sweep_sets.points_of(sets, {"deep": FOUR}, needed=needed)
    assert str(error.value) == (
        "`sets` must keep the layers that are needed, but m keeps decoder layers 0,1 of deep, which needs layer 3 "
        "(`alignment_layer`)."
    )


def test_a_pruned_model_says_so_where_it_lacks_a_set():
    before = {"flat": "The checkpoint was pruned before and holds decoder layers [0,2] of 4."}
    with pytest.raises(ValueError) as error:
        sweep_sets.points_of([sweep_sets.parse("m=0,3", ["decoder"])], {"flat": {"decoder": 2}}, pruned_before=before)
    assert str(error.value) == (
        "`sets` must name layers from 0 to 1, but has 3 in '0,3'. "
        "The checkpoint was pruned before and holds decoder layers [0,2] of 4."
    )


def test_one_name_at_one_depth_is_one_set():
    same = sweep_sets.parse("m=0+0", BOTH)
    assert len(sweep_sets.points_of([same, same], {"a": FOUR})[0]["a"]) == 1
    with pytest.raises(ValueError) as error:
        sweep_sets.points_of([same, sweep_sets.parse("m=1+0", BOTH)], {"a": FOUR})
    assert str(error.value) == "`sets` must have one set of each name at each depth, but has two 'm'."


def test_a_search_names_layers_of_the_checkpoint(tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"best": {"decoder": "1,5"}, "kept": {"encoder": "0,2", "decoder": "1,5"}}))
    found = sweep_sets.read_search(str(path))
    assert found == NamedSet("search", {"encoder": "0,2", "decoder": "1,5"}, True, "search", str(path))
    assert sweep_sets.point(found, {"encoder": 3, "decoder": 6}) == Point("search", ((0, 2), (1, 5)))
    held = {"decoder": (1, 3, 5)}  # --model-overrides has left these
    assert sweep_sets.point(found, {"encoder": 3, "decoder": 3}, held) == Point("search", ((0, 2), (0, 2)))
    with pytest.raises(ValueError) as error:
        sweep_sets.point(found, {"encoder": 3, "decoder": 2}, {"decoder": (1, 3)})
    assert str(error.value) == "`search` must name layers that --model-overrides leaves, 1,3 of the decoder, but has 5."
    with pytest.raises(ValueError) as error:
        sweep_sets.point(found, {"decoder": 6})
    assert str(error.value) == "`search` must be of stacks that the model has, but has the encoder's layers."


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"best": 3}', '{"best": {"decoder": "x"}}', '{"best": {"decoder": 3}}', '{"best": {}}']
)
def test_files_that_no_search_wrote(tmp_path, text):
    path = tmp_path / "found.json"
    with pytest.raises(ValueError) as error:
        sweep_sets.read_search(str(path))
    assert str(error.value) == f"`search` must be a file of layerdrop-search --json, but {path} does not exist."
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        sweep_sets.read_search(str(path))
    assert str(error.value) == f"`search` must be a file of layerdrop-search --json, but {path} is not."


def test_depths_stand_side_by_side():
    points = [Point(name, kept) for name, kept in (("full", ((0, 1, 2),)), ("first", ((0, 1),)), ("first", ((0,),)),
                                                   ("m", ((1, 2),)))]  # fmt: skip
    assert [(p.strategy, p.counts) for p in sweep_sets.by_depth(points)] == [
        ("full", (3,)), ("first", (2,)), ("m", (2,)), ("first", (1,)),
    ]  # fmt: skip
    assert sweep_sets.depths_of(points, {"decoder": 3}, ["decoder"]) == [(2,), (1,)]


def test_a_search_on_another_checkpoint_is_said(tmp_path):
    path = tmp_path / "found.json"
    path.write_text('{"best": {"decoder": "0"}, "fingerprint": "9:ab"}')
    known = sweep_sets.read_search(str(path), "--search")
    path.write_text('{"best": {"decoder": "0"}}')
    old = sweep_sets.read_search(str(path), "--search")
    assert sweep_sets.of_others([known, old], {"mine": "9:ab"}) == []
    assert sweep_sets.of_others([known, old], {"mine": "9:ab", "a": "9:cd", "b": "8:ab"}) == [
        f"`--search` {path} is of a search on another checkpoint than a, b, whose best layers may be others"
    ]
