"""docs/equation-to-kernel.md: the equations and the generated C++ that it shows are the library's; its links work.

Run as a script, this file writes the generated C++ into the page again:

    python tests/codegen/test_equation_to_kernel.py
"""

import inspect
import re
from pathlib import Path

from carrousel.cells import lstm
from carrousel.codegen.headers import GENERATED, header

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "equation-to-kernel.md"
BLOCK = re.compile(r"```cpp\n(.*?)```", re.DOTALL)


def generated() -> str:
    return GENERATED.format(module=lstm.__name__) + header(lstm.CELL)


def test_the_page_shows_the_generated_header():
    assert BLOCK.findall(PAGE.read_text(encoding="utf-8")) == [generated()], f"run python {__file__}"


def test_the_page_shows_the_equations():
    text, source = PAGE.read_text(encoding="utf-8"), inspect.getsource(lstm)
    assert source[source.index("def step") :] in text


def test_the_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)", PAGE.read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (DOCS / link).exists()] == []


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: f"```cpp\n{generated()}```", text), encoding="utf-8")
