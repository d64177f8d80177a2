"""help(carrousel.LSTM) and the like: every argument in the signature and in the docstring, and an example that runs."""

from __future__ import annotations

import doctest
import inspect
import re
import warnings

import pytest

import carrousel
from carrousel import odyssey
from carrousel.custom_cell import CustomLayer
from carrousel.layers.arguments import complete_docstring
from carrousel.layers.options import LayerOptions, list_arguments

EXPORTED = {name: getattr(carrousel, name) for name in carrousel.layers.__all__ if name != "State"}
DOCUMENTED = EXPORTED | {"CustomLayer": CustomLayer}
TORCHS = [
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
    "device",
    "dtype",
]
every_layer = pytest.mark.parametrize("name", DOCUMENTED)


def arguments_of(layer):
    return inspect.signature(layer).parameters


def entries_of(doc):
    """The arguments that a docstring describes, by name."""
    section = doc.split("Args:\n")[1].split("\n\n")[0]
    return dict(re.findall(r"^    (\w+): (\S.*)$", section, re.MULTILINE))


@every_layer
def test_the_signature_names_every_argument(name):
    parameters = arguments_of(DOCUMENTED[name])
    assert {*TORCHS, *LayerOptions.__annotations__, *list_arguments(DOCUMENTED[name])} <= {*parameters}
    assert not [p for p in parameters.values() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


@every_layer
def test_the_docstring_describes_every_argument_in_order(name):
    doc = inspect.getdoc(DOCUMENTED[name])
    assert list(entries_of(doc)) == list(arguments_of(DOCUMENTED[name]))
    assert max(map(len, doc.splitlines())) <= 120


@every_layer
def test_the_documented_defaults_are_those_of_the_signature(name):
    doc = inspect.getdoc(DOCUMENTED[name])
    for argument, parameter in arguments_of(DOCUMENTED[name]).items():
        text = " ".join(re.split(rf"\n    {argument}: ", doc)[1].split("\n    ")[0].split())
        for found in re.findall(r"Default ([\w\".]+?)[:.,]? ?(?=$|[A-Z])", text):
            default = parameter.default
            assert found.strip('"') in (str(default), f"{default:g}" if isinstance(default, float) else ""), argument


@pytest.mark.parametrize("name", odyssey.__all__)
def test_classes_of_custom_cells_have_the_whole_signature(name):
    assert list(arguments_of(getattr(odyssey, name))) == list(arguments_of(CustomLayer))


def test_a_subclass_has_the_signature_of_its_own_constructor():
    class Mine(carrousel.LSTM):
        def __init__(self, width: int) -> None:
            super().__init__(width, width)

    assert list(arguments_of(Mine)) == ["width"]


@every_layer
def test_the_signature_is_true(name):
    """A layer takes every option of its signature with the default that it shows, and is then the same."""
    if name == "CustomLayer":
        pytest.skip("a base class")
    options = {p.name: p.default for p in arguments_of(DOCUMENTED[name]).values() if p.default is not p.empty}
    cell = {"cell": carrousel.cells.ALL["peephole"]} if name == "Recurrent" else {}
    sizes = {"input_size": 3, "hidden_size": 4}
    assert repr(DOCUMENTED[name](**cell, **sizes, **options)) == repr(DOCUMENTED[name](**cell, **sizes))


@every_layer
def test_the_example_runs(name):
    (example,) = doctest.DocTestFinder(recurse=False).find(DOCUMENTED[name], name)
    assert len(example.examples) >= 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert doctest.DocTestRunner().run(example).failed == 0


def test_an_argument_without_a_description_is_an_error():
    with pytest.raises(KeyError, match="colour"):
        complete_docstring("A layer.\n\nExample:\n    >>> 1\n    1\n", ["input_size", "colour"])
