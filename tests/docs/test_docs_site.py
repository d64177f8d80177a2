"""The documentation site: what can be seen without building it, and with --all the built pages."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import carrousel

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md"))
REFERENCE = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md"))


def test_every_public_name_has_an_entry_in_the_reference():
    entries = set(re.findall(r"^\.\. auto\w+:: carrousel\.(\w+)(?:\(\))?$", REFERENCE, re.MULTILINE))
    assert set(carrousel.__all__) <= entries


def test_every_page_is_in_the_table_of_contents():
    tables = re.findall(r"^```\{toctree\}\n(.*?)^```", (DOCS / "index.md").read_text(encoding="utf-8"), re.M | re.S)
    patterns = [line for table in tables for line in table.splitlines() if line and not line.startswith(":")]
    assert [page for page in PAGES if page != "index" and not any(fnmatch(page, name) for name in patterns)] == []
    assert [name for name in patterns if not any(fnmatch(page, name) for page in PAGES)] == []


def test_the_readmes_ratios_are_those_of_the_table():
    table = (DOCS / "fast.md").read_text(encoding="utf-8")
    ratios = dict(re.findall(r"^\| lstm \| (\S+) \|.*?\*\*(.+?\*\*.*?\*\*.+?)\*\*", table, re.MULTILINE))
    expected = {shape: tuple(text.split("**")[::2]) for shape, text in ratios.items()}
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"\| (\S+) \| \*\*([\d.]+)\*\* \| \*\*([\d.]+)\*\* \|", readme)
    assert len(expected) == 10
    assert {shape: (one, two) for shape, one, two in found} == expected


def test_the_plot_is_drawn_from_the_table(tmp_path):
    subprocess.run([sys.executable, DOCS / "images" / "speed.py", tmp_path / "speed.svg"], check=True)
    assert (tmp_path / "speed.svg").stat().st_size > 5000


DOCSTRING = """One line about [4*H, I], weight_ih_ and a | b.

    h' = o tanh(c')   # `as it is`

`LSTM` is a link, `hx` is code;
    this line is prose.

Args:
    x: a star * and
        a second line.

Example:
    y = layer(x)

@article{key,
  year = {1997},
}
"""

CONVERTED = """One line about [4\\*H, I], weight_ih\\_ and a \\| b.


.. code-block:: text

   h' = o tanh(c')   # `as it is`


:py:obj:`LSTM <carrousel.LSTM>` is a link, ``hx`` is code;
this line is prose.

Args:
    x: a star \\* and
        a second line.


.. rubric:: Example

.. code-block:: python

   y = layer(x)



.. code-block:: bibtex

   @article{key,
     year = {1997},
   }

"""


def test_a_docstring_is_plain_text(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    from house_docstrings import convert

    lines = DOCSTRING.split("\n")
    convert(None, "class", "", None, None, lines)
    assert "\n".join(lines) == CONVERTED


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. Warnings are errors: broken links, pages that nothing lists, docstrings that do not parse."""
    pytest.importorskip("sphinx", reason='the docs extra is not installed: pip install ".[docs]"')
    pytest.importorskip("furo", reason='the docs extra is not installed: pip install ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html"]
    done = subprocess.run([*sphinx, str(DOCS), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.full
def test_the_site_builds_without_warnings_and_loads_nothing_from_other_hosts(site):
    loads = re.compile(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["'](?:https?:)?//""")
    files = [path for path in site.rglob("*.html") if loads.search(path.read_text(encoding="utf-8"))]
    styles = [path for path in site.rglob("*.css") if re.search(r"url\([\"']?(?:https?:)?//", path.read_text("utf-8"))]
    assert files + styles == []


@pytest.mark.full
def test_docstrings_become_entries_with_their_arguments(site):
    page = (site / "api" / "layers.html").read_text(encoding="utf-8")
    assert all(f'id="carrousel.{name}"' in page for name in ("LSTM", "GRU", "RNN", "Recurrent", "MLSTM"))
    assert "<strong>hidden_size</strong>" in page
    assert "[L*D, B, H]" in page, "a star is a star"
