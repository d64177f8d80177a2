"""The directive `every-cell`: the docstring of each file in carrousel/cells that defines a cell."""

from __future__ import annotations

import importlib
import pkgutil

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.util.nodes import nested_parse_with_titles

import carrousel.cells


def setup(app):
    """Register the directive."""
    app.add_directive("every-cell", EveryCell)
    return {"parallel_read_safe": True}


def modules_with_cells() -> list[str]:
    """Full names of the modules that define a Cell."""
    names = [f"carrousel.cells.{module.name}" for module in pkgutil.iter_modules(carrousel.cells.__path__)]
    cells = {id(cell) for cell in carrousel.cells.ALL.values()}
    return [name for name in names if any(id(value) in cells for value in vars(importlib.import_module(name)).values())]


class EveryCell(Directive):
    """A heading and the module's docstring for each."""

    def run(self):

        lines = []
        for name in modules_with_cells():
            title = name.rsplit(".", 1)[1]
            lines += [title, "-" * len(title), "", f".. automodule:: {name}", "   :no-index:", ""]
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, source="every-cell"), node)
        return node.children
