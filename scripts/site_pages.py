"""What mkdocs asks before it builds the site: README.md and its like are pages, too, and links to them stay right.

Those files and docs/ are written for a reader of the repository. A link there to a file that is not a page, such as one
of the code, becomes the file's name.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
"""Files of the root folder, and what they are called on the site."""

SHIM, OURS = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker.js"
"""What the search needs where there is no server: the theme would fetch it."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    sources = {name: source for source, name in PAGES.items()}
    name = page.file.src_uri
    return linked(markdown, sources.get(name, f"docs/{name}"), name)


def on_post_page(output: str, page: Any, config: Any) -> str:
    assert output.count(SHIM) == 1, "the theme loads its script from elsewhere"
    return output.replace(SHIM, posixpath.relpath(OURS, posixpath.dirname(page.file.dest_uri) or "."))


def linked(markdown: str, source: str, page: str) -> str:
    """Return the text with links as they are on the site.

    Args:
        source: the file in the repository.
        page: its name on the site.
    """

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[3]))
        found = PAGES.get(target) or (target[len("docs/") :] if target.startswith("docs/") else None)
        if found is None:
            return f"{match[2]} (`{target}`)"
        return f"{match[1]}[{match[2]}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{match[4] or ''})"

    return LINK.sub(link, markdown)
