"""Turn this project's docstrings into reStructuredText before Sphinx's napoleon reads them.

The docstrings are plain text: `name` in single backticks is code, indented blocks are equations or code, an entry that
begins with @ is BibTeX, sections ("Args:", "Raises:") are Google's. Nothing else is markup, so that a star in
"[4*H, I]" is a star.
"""

from __future__ import annotations

import re
import textwrap

import carrousel

SECTIONS = r"(Args|Attributes|Returns|Raises|Yields|Note|Notes):$"
PUBLIC = set(carrousel.__all__) - {"cell", "odyssey"}  # `cell` is an argument more often than the function


def setup(app):
    """Register the conversion."""
    from sphinx.domains.python import PyObject

    app.connect("autodoc-process-docstring", convert, priority=400)  # napoleon has 500
    app.connect("autodoc-skip-member", is_unexplained_field)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # what our docstrings call them, instead of "Variables"
    return {"parallel_read_safe": True}


def is_unexplained_field(_app, _what, _name, member, _skip, _options) -> bool | None:
    """Fields of a NamedTuple are skipped: its docstring explains them, theirs is a number."""
    return (getattr(member, "__doc__", None) or "").startswith("Alias for field number") or None


def convert(_app, what, _name, value, _options, lines: list[str]) -> None:
    """The docstring's lines, changed in place."""
    if what == "module" and hasattr(value, "__path__"):
        lines[:] = lines[:1]  # what follows in a package is the list of its files
        return
    converted, at = [], 0
    while at < len(lines):
        end, language = block_at(lines, at)
        if end > at:
            converted += code(lines[at:end], language)
            at = end
        else:
            end = next((k for k in range(at + 1, len(lines)) if block_at(lines, k)[0] > k), len(lines))
            converted += text("\n".join(level(lines[:at], lines[at:end]))).split("\n")
            at = end
    # napoleon takes what stands before a colon in the first line of a property for its type
    lines[:] = ["", *converted] if what in ("attribute", "property") else converted


def block_at(lines: list[str], at: int) -> tuple[int, str]:
    """The end of the block of code or equations that begins at a line, and its language; `at` itself if none does."""
    line, before = lines[at], lines[at - 1] if at else ""
    if line.startswith("@"):
        return next((k + 1 for k in range(at, len(lines)) if lines[k] == "}"), len(lines)), "bibtex"
    if re.match(r"Examples?:$", line):
        return end_of_indented(lines, at + 1), "python"
    if line.startswith("    ") and not before.strip() and not in_section(lines, at):
        return end_of_indented(lines, at), "text"
    return at, ""


def in_section(lines: list[str], at: int) -> bool:
    """Whether an indented line belongs to a section such as "Args:"."""
    above = next((line for line in reversed(lines[:at]) if line and not line.startswith(" ")), "")
    return bool(re.match(SECTIONS, above))


def end_of_indented(lines: list[str], at: int) -> int:
    """The first line after the indented ones, without the empty lines between."""
    end = next((k for k in range(at, len(lines)) if lines[k] and not lines[k].startswith(" ")), len(lines))
    while end > at and not lines[end - 1].strip():
        end -= 1
    return end


def level(above: list[str], lines: list[str]) -> list[str]:
    """Lines of prose without indentation, which would be a definition; those of sections and lists stay."""
    leveled = []
    for line in lines:
        paragraph = [*above, *leveled]
        before = paragraph[-1] if paragraph else ""
        begun = next((k for k in range(len(paragraph), 0, -1) if not paragraph[k - 1].strip()), 0)
        is_prose = before.strip() and not in_section([*paragraph, line], len(paragraph))
        starts_list = begun < len(paragraph) and paragraph[begun].startswith("* ")
        leveled.append(line.lstrip() if is_prose and not starts_list else line)
    return leveled


def code(lines: list[str], language: str) -> list[str]:
    """A block as a directive; "Example:" becomes a rubric above it."""
    title = [".. rubric:: Example", ""] if re.match(r"Examples?:$", lines[0]) else []
    body = textwrap.dedent("\n".join(lines[1:] if title else lines)).strip("\n")
    if ">>>" in body:
        language = "pycon"
    elif language == "text" and re.search(r"^(import|from|with|def) |^@| = carrousel\.", body, re.MULTILINE):
        language = "python"
    body = textwrap.indent(body, "   ")
    return ["", *title, f".. code-block:: {language}", "", *body.split("\n"), ""]


def text(paragraphs: str) -> str:
    """Prose: code in backticks stays code, public names become links, everything else is escaped."""
    parts = re.split(r"`([^`]+)`", paragraphs)
    parts[1::2] = [name_or_code(part) for part in parts[1::2]]
    parts[::2] = [escape(part) for part in parts[::2]]
    return "".join(parts)


def name_or_code(words: str) -> str:
    """A link to a public name, or code."""
    name = words.removeprefix("carrousel.")
    return f":py:obj:`{words} <carrousel.{name}>`" if name in PUBLIC else f"``{words}``"


def escape(words: str) -> str:
    """Stars, bars, backslashes and trailing underscores mean themselves; a star that begins a line makes a list."""
    words = re.sub(r"\\|\||(?<=\w)_(?!\w)|(?<!^)(?<!\n)(?<!\n )\*", r"\\\g<0>", words)
    return re.sub(r"^( *)\\\*(?= )", r"\1*", words, flags=re.MULTILINE)
