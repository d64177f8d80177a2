"""The arguments that all layers have, described once: each class shows them in its docstring and its signature.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

LayerClass = TypeVar("LayerClass", bound=type)

ARGUMENTS = {
    "cell": """the equations: one of `carrousel.cells.ALL`, such as ALL["peephole"], or a `carrousel.cells.Cell`.""",
    "input_size": "I, the number of features of the input.",
    "hidden_size": "H, the number of hidden units.",
    "num_layers": "L, the number of stacked layers; each reads the outputs of the one below. Default 1.",
    "bias": "whether the gates have biases, bias_ih_l{k} beside W x and bias_hh_l{k} beside R h. Default True.",
    "batch_first": "whether input and output are [B, T, .] instead of [T, B, .]; hx never changes. Default False.",
    "dropout": "probability that an element is zeroed between two layers, in training. Default 0.",
    "bidirectional": """whether a second set of weights, with the suffix `_reverse`, runs from the last step to the
        first; its outputs follow those of the first in the last dimension. D is then 2, else 1. Default False.""",
    "proj_size": """P, the width to which weight_hr_l{k} [P, H] projects h; less than H. Default 0: no projection,
        P = H.""",
    "device": "of the parameters. Default: torch's default device.",
    "dtype": "of the parameters. Default: torch's default dtype.",
    "initialise": """how the weights are initialised. "torch": as torch.nn does, U(-1/sqrt(H), 1/sqrt(H)); "orthogonal":
        R orthogonal, W from Glorot's distribution, no biases; "xlstm": as the authors of xLSTM do, for cells with
        forget gates. Papers: `carrousel.layers.initialization`. Default "torch".""",
    "forget_bias": """initial bias of the forget gates, such as 1.0; if the cell has an input gate only, that gets the
        negative. Default None: as initialised.""",
    "longest_lag": """T, the longest lag in steps that the task has: the forget gates begin with memories of 1 to T - 1
        steps, random for each unit (chrono initialisation). Default None: as initialised.""",
    "learn_initial": """whether the states at the start of a sequence are parameters: initial_h [L*D, 1, P], and
        initial_{state} [L*D, 1, H] for each other state. They start as zeros, follow all other parameters, and are used
        if hx or `initial` is not given, and where a stream starts. Default False.""",
    "memory": """what is saved for the backward pass. "full": states and gates of every step. "low": the states only;
        the backward pass computes the gates again, to the same bits. An LSTM then saves two numbers a unit and step
        instead of six. No effect without a kernel, or if the cell has nothing else to save, as an RNN. Default
        "full".""",
}

SECTION = re.compile(r"^ *(Args|Raises|Example):$", re.MULTILINE)  # before these the arguments are described


def show_arguments(layer: LayerClass) -> LayerClass:
    """Complete the signature of a layer class, and the section `Args` of its docstring: a class decorator.

    The class describes only the arguments that differ from ARGUMENTS. A docstring without any section stays as it is.
    """
    if "__init__" in vars(layer):
        init: Any = layer.__init__  # type: ignore[misc]
        init.__signature__ = complete_signature(layer, init)
    if layer.__doc__ and re.search(SECTION, layer.__doc__):
        layer.__doc__ = complete_docstring(layer.__doc__, list(inspect.signature(layer).parameters))
    return layer


def complete_signature(layer: type, init: Callable[..., None]) -> inspect.Signature:
    """The signature of a layer's constructor, with the options that `**ours` hands on to the classes above it."""
    signature = inspect.signature(init, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    named = {p.name for p in parameters}
    for base in layer.__mro__[1:]:
        if base.__module__.startswith("carrousel.") and "__init__" in vars(base):
            above = inspect.signature(base.__init__, eval_str=True).parameters.values()  # type: ignore[misc]
            options = [p for p in above if p.kind is p.KEYWORD_ONLY and p.name not in named]
            parameters += [p.replace(default=default_of(layer, p)) for p in options]
            named |= {p.name for p in options}
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def default_of(layer: Any, parameter: inspect.Parameter) -> Any:
    """The default of an option of a layer, which may differ from that of the class above it."""
    return layer._usual.get(parameter.name, parameter.default)


def complete_docstring(doc: str, names: list[str]) -> str:
    """The docstring with a section `Args` that describes all these arguments, in their order."""
    doc = inspect.cleandoc(doc)
    start = re.search(SECTION, doc).start()  # type: ignore[union-attr]
    before, after, special = doc[:start], doc[start:], {}
    if after.startswith("Args:"):
        entries, after = re.split(r"\n\n(?=\S)", after, maxsplit=1)
        special = {entry.split(":")[0].strip(): entry for entry in re.split(r"\n(?=    \w)", entries)[1:]}
    lines = [special.get(name) or describe(name) for name in names]
    return before + "\n".join(["Args:", *lines]) + "\n\n" + after


def describe(name: str) -> str:
    """The entry of an argument in a docstring."""
    text = f"{name}: {' '.join(ARGUMENTS[name].split())}"
    return textwrap.fill(text, 120, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)
