"""Reports as one HTML file."""

from __future__ import annotations

import base64

from shared.web_pages import Reader

from layerdrop_plugin.html_report import Commands, Plot, Table, page

DATA = {"best": "</script><b>", "loss": 2.5}
TABLE = Table(["layers", "loss"], [["0,1", "3.0"], ["0,2 & <2>", "2.5"]], numbers=["loss"], chosen=1)
SECTIONS = {
    "Scores": ["Lower is <better>.", TABLE, Plot(b"\x89PNG", 'loss "by" depth')],
    "Go on": [Commands("a > b\nc")],
}


def test_what_is_shown():
    found = Reader(page("A & B", SECTIONS, DATA))
    assert found.of("h1", "title", "h2") == ["A & B", "A & B", "Scores", "Go on"]
    assert found.of("p", "pre") == ["Lower is <better>.", "a > b\nc"]
    assert found.of("th", "td") == ["layers", "loss", "0,1", "3.0", "0,2 & <2>", "2.5"]
    kinds = [attributes.get("class") for tag, attributes in found.attributes if tag in ("tr", "th", "td")]
    assert kinds == [None, None, "number", None, None, "number", "chosen", None, "number"]
    (image,) = [attributes for tag, attributes in found.attributes if tag == "img"]
    assert image == {"src": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode(), "alt": 'loss "by" depth'}


def test_it_carries_its_data():
    assert Reader(page("A", {}, DATA)).data == DATA


def test_it_needs_nothing_else():
    links = {"src", "href", "action"}
    found = Reader(page("A", SECTIONS, DATA))
    assert [value[:5] for _, attributes in found.attributes for name, value in attributes.items() if name in links] == [
        "data:"
    ]
