"""Pages in HTML, read back, and looked at by a browser where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Reads a page: the text of each element, by its name, the attributes, and the cells of tables, by rows.

    Every element must be closed.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.attributes, self.tables = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1].append(data)

    def of(self, *tags):
        return [text for tag, text in self.texts if tag in tags]

    @property
    def data(self):
        """What the page carries."""
        return json.loads(self.of("script")[0])


def seen_by_browser(path):
    """A page as a browser has it in memory, whole and without a network."""
    argv = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
