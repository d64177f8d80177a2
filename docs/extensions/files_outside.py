"""Let pages link to Markdown files outside docs/, such as ../kernels/README.md: the site offers them as files."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1].resolve()


def setup(app):
    """Register the change of links."""
    app.connect("source-read", link_files)
    return {"parallel_read_safe": True}


def link_files(_app, page: str, source: list[str]) -> None:
    """`[text](../../FILE.md)` becomes MyST's link to a file, if the file is not a page of the site."""

    def link(match: re.Match[str]) -> str:
        target = (DOCS / page).parent.joinpath(match[1]).resolve()
        return match[0] if target.is_relative_to(DOCS) else f"](<path:{match[1]}>)"

    source[0] = re.sub(r"\]\((\.\./[^)\s#]+\.md)(?:#[^)]*)?\)", link, source[0])
