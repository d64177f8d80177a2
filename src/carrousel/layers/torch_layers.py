"""Convert one of our layers to torch.nn's, and torch.nn's to ours, over the same parameters.

The new layer has the same Parameter objects, so that optimisers go on. It also gets the buffers, modules, hooks, other
parameters and attributes that were added to the old layer, its parametrisations, and its training mode. Hooks are
called with the new layer.
"""

from __future__ import annotations

import copy
from abc import ABC
from typing import Any, Generic, TypeVar

from torch import empty, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization, type_before_parametrizations

from carrousel.layers.rnnbase_names import RNNBaseNames

OurLayer = TypeVar("OurLayer", bound=RNNBaseNames)

OURS, TORCHS = "carrousel.layers", "torch.nn.modules.rnn"  # where the libraries' classes are defined

# torch.nn's classes, by what its layers and ours call `mode`.
TORCH_CLASSES: dict[str, type[nn.RNNBase]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN_TANH": nn.RNN, "RNN_RELU": nn.RNN}


class Constructed(ABC, Generic[OurLayer]):
    """A class with nothing but a constructor, and the attributes that Python adds to every class."""

    __constants__: tuple[str, ...] = ()  # read by torch.jit.script
    annotated: int

    def __init__(self) -> None:
        pass


# What a subclass may define and still compute what its base class does: its constructor has already run.
HARMLESS = {*vars(Constructed), *vars(ABC), *vars(Generic), "__annotations_cache__"}  # the last: Python 3.14, on demand


def to_torch(layer: RNNBaseNames) -> nn.RNNBase:
    """Make torch.nn's layer with the same Parameter objects.

    `initialise`, `forget_bias`, `longest_lag` and `memory` do not change the results; they are dropped.

    Args:
        layer: a `carrousel.LSTM`, `GRU` or `RNN`, or a `carrousel.Recurrent` with the cell of one. It does not change.

    Returns:
        torch.nn.LSTM, GRU or RNN, with the same outputs and gradients.

    Raises:
        ValueError: torch.nn has no such cell or option, or the layer or its class has a forward of its own.

    Example:
        >>> import carrousel
        >>> to_torch(carrousel.LSTM(28, 256))
        LSTM(28, 256)
    """
    check_forward(layer, OURS)
    if not layer._standard:
        projected = f" and proj_size={layer.proj_size}" if layer.proj_size else ""
        raise ValueError(f"torch.nn has no layer with the cell {layer.cell.name}{projected}")
    options = ["learn_initial=True"] if layer.learn_initial else []
    options += layer.regularization.describe() if layer.regularization else []
    if options:
        raise ValueError(f"torch.nn has no option {', '.join(options)}")
    theirs = make_like(layer, TORCH_CLASSES[layer.mode])
    share_contents(layer, theirs, vars(make_smallest(layer)))
    if not is_parametrized(layer):  # looking such weights up may change them: torch's forward does it
        theirs._init_flat_weights()
    return theirs


def from_torch(layer: nn.RNNBase, of_class: type[OurLayer]) -> OurLayer:
    """Make our layer with the Parameter objects of torch.nn's.

    Args:
        layer: a torch.nn.LSTM, GRU or RNN. It does not change.
        of_class: `carrousel.LSTM`, `GRU` or `RNN`, to match `layer.mode`.

    Returns:
        Our layer, with the same outputs and gradients.

    Raises:
        ValueError: the layer or its class has a forward of its own, or the layer has an added attribute that means
            something else in ours.

    Example:
        >>> import torch, carrousel
        >>> from_torch(torch.nn.LSTM(28, 256), carrousel.LSTM)
        LSTM(28, 256)
    """
    check_forward(layer, TORCHS)
    check_weights(layer)
    ours, theirs = make_like(layer, of_class), make_like(layer, TORCH_CLASSES[layer.mode])
    check_names(layer, ours, theirs)
    share_contents(layer, ours, vars(theirs))
    return ours


# ---- what is refused


def check_forward(layer: nn.Module, library: str) -> None:
    """Raise ValueError if the layer may compute something else than the library's class that it is derived from.

    `library` is the beginning of the names of the library's modules.
    """
    of_class = type_before_parametrizations(layer)
    above = of_class.__mro__[: of_class.__mro__.index(base_class(layer, library))]
    if defined := dict.fromkeys(name for of in above for name in vars(of) if name not in HARMLESS):
        raise ValueError(f"its class {of_class.__name__} defines {', '.join(defined)}")
    if "forward" in vars(layer):
        raise ValueError("its forward was replaced by an assignment to layer.forward")
    if layer._compiled_call_impl is not None:
        raise ValueError("it is compiled (layer.compile()); swap before compiling")


def base_class(layer: nn.Module, library: str) -> type[Any]:
    """The library's class of the layer, or from which its class is derived."""
    return next(of for of in type_before_parametrizations(layer).__mro__ if of.__module__.startswith(library))


def check_weights(layer: nn.RNNBase) -> None:
    """Raise ValueError if torch's layer computes with other weights than its parameters."""
    if is_parametrized(layer) or layer._weights_have_changed():  # then forward looks them up
        return
    weights = [getattr(layer, name, None) for name in layer._flat_weights_names]
    if any(a is not b for a, b in zip(layer._flat_weights, weights)):
        raise ValueError("torch computes with its _flat_weights, which are not its parameters")


def check_names(layer: nn.RNNBase, ours: RNNBaseNames, theirs: nn.RNNBase) -> None:
    """Raise ValueError if torch's layer has an added attribute that means something else in ours.

    `ours` and `theirs` are newly made layers with its options.
    """
    meanings = {*dir(ours)} - {*dir(theirs)}
    attributes = {*vars(layer)} - {*vars(theirs)} | {*layer._parameters, *layer._buffers, *layer._modules}
    if added := sorted(attributes & meanings):
        raise ValueError(f"its attribute {', '.join(added)} has another meaning for a layer of carrousel")


# ---- the new layer


def make_like(layer: Any, of_class: type[Any]) -> Any:
    """Make a layer of a class with the options of another layer, and with parameters on the meta device."""
    options = {name: getattr(layer, name) for name in ("num_layers", "bias", "batch_first", "bidirectional")}
    if layer.proj_size:
        options["proj_size"] = layer.proj_size
    if layer.mode.startswith("RNN"):
        options["nonlinearity"] = layer.mode[len("RNN_") :].lower()
    made = of_class(layer.input_size, layer.hidden_size, device="meta", **options)
    made.dropout = layer.dropout  # in the constructor it would repeat its warning
    return made


def make_smallest(layer: RNNBaseNames) -> RNNBaseNames:
    """Make the smallest layer of a layer's class, to see which attributes the constructor sets."""
    of_class = base_class(layer, OURS)
    return of_class(*([] if of_class.__name__ in vars(nn) else [layer.cell]), 1, 1, device="meta")


def share_contents(old: nn.Module, new: nn.Module, made: Any) -> None:
    """Give `new` everything in `old` except the attributes in `made`, which its constructor has set."""
    if is_parametrized(old):
        declare_parametrized(new, list(old.parametrizations))  # type: ignore[arg-type]
    of_modules = vars(nn.Module())  # parameters, buffers, modules, hooks, training
    for name, value in vars(old).items():
        if name in of_modules:
            vars(new)[name] = copy.copy(value)
        elif name not in made:
            vars(new)[name] = value
    for name in of_modules:
        if name.endswith("_hooks"):
            bind_hooks(vars(new)[name], new)


def declare_parametrized(layer: nn.Module, names: list[str]) -> None:
    """Give the layer the class by which torch looks these tensors up in `layer.parametrizations`."""
    for name in names:
        if not hasattr(layer, name):
            layer.register_parameter(name, nn.Parameter(empty(0)))
        register_parametrization(layer, name, nn.Identity(), unsafe=True)


def bind_hooks(hooks: dict[int, Any], layer: nn.Module) -> None:
    """Let hooks that hold the module on which they were registered hold `layer` instead."""
    for key, hook in hooks.items():
        if getattr(hook, "with_module", False):
            hooks[key] = type(hook)(hook.hook, layer)
