"""Reports as one HTML file."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser

from layerdrop_plugin.html_report import Commands, Plot, Table, page

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Reads a page: the text of each element, by its name, and the attributes; every element must be closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.attributes = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def of(self, *tags):
        return [text for tag, text in self.texts if tag in tags]


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
    kinds = [attributes.get("class") for tag, attributes in found.attributes if tag in ("tr", "td")]
    assert kinds == [None, None, None, "number", "chosen", None, "number"]
    (image,) = [attributes for tag, attributes in found.attributes if tag == "img"]
    assert image == {"src": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode(), "alt": 'loss "by" depth'}


def test_it_carries_its_data():
    assert json.loads(Reader(page("A", {}, DATA)).of("script")[0]) == DATA


def test_it_needs_nothing_else():
    links = {"src", "href", "action"}
    found = Reader(page("A", SECTIONS, DATA))
    assert [value[:5] for _, attributes in found.attributes for name, value in attributes.items() if name in links] == [
        "data:"
    ]
