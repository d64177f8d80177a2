"""`carrousel.swap(model)` replaces torch.nn's recurrent layers in a model by ours, and `swap_back` ours by torch.nn's.

The model is changed in place. Its Parameters stay the same objects, so that optimisers and `state_dict` work as before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.jit import ScriptModule

from carrousel.layers import GRU, LSTM, RNN, Recurrent
from carrousel.layers.torch_layers import from_torch, to_torch
from carrousel.swap_report import Layer, Swapped, class_name, describe

OUR_CLASSES: dict[str, type[Recurrent[Any]]] = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN, "RNN_RELU": RNN}
NAMES = ("LSTM", "GRU", "RNN")

Replacements = dict[int, tuple[nn.Module, nn.Module]]  # the old layer's id -> the old layer and the new
Convert = Callable[[Any], nn.Module]  # raises ValueError with the reason if a layer cannot be replaced


def swap(model: nn.Module) -> Swapped:
    """Replace every torch.nn.LSTM, GRU and RNN in a model by ours, in place.

    Parameters stay the same objects, with their names and order. The new layers have the options, buffers, hooks,
    parametrisations, training mode and other attributes of the old; a layer that is used in several places stays one
    layer. Layers that cannot be replaced stay, and are listed with the reason: subclasses that define more than a
    constructor, layers whose `forward` was replaced, and compiled, scripted or quantized layers.

    Args:
        model: any module, on any device. Swap before torch.compile, torch.jit.script or a wrapper that copies it.

    Returns:
        A report of what was replaced and what was not. If `model` is itself a torch.nn.LSTM, GRU or RNN, it cannot be
        changed in place: use the report's `model`.

    Raises:
        TypeError: model is not a module.

    Example:
        >>> import torch, carrousel
        >>> model = torch.nn.Sequential(torch.nn.LSTM(28, 256, batch_first=True))
        >>> carrousel.swap(model)
        Swapped: 1 replaced, 0 left
          0: torch.nn.LSTM(28, 256, batch_first=True) -> carrousel.LSTM
    """
    check_module(model, "swap")
    return replace_layers(model, is_torch_layer, lambda layer: from_torch(layer, OUR_CLASSES[layer.mode]))


def swap_back(model: nn.Module) -> Swapped:
    """Replace every `carrousel.LSTM`, `GRU` and `RNN` in a model by torch.nn's, in place: the reverse of `swap`.

    Layers with a cell or an option that torch does not have stay, and are listed with the reason. A subclass of torch's
    layer that `swap` replaced becomes torch's class.

    Args:
        model: any module, as for `swap`.

    Returns:
        A report, as of `swap`.

    Raises:
        TypeError: model is not a module.

    Example:
        >>> import torch, carrousel
        >>> model = torch.nn.Sequential(carrousel.GRU(3, 4))
        >>> carrousel.swap_back(model)
        Swapped: 1 replaced, 0 left
          0: carrousel.GRU(3, 4) -> torch.nn.GRU
    """
    check_module(model, "swap_back")
    return replace_layers(model, is_our_layer, to_torch)


def check_module(model: object, function: str) -> None:
    """Raise TypeError if the model is not a module; the message lists its attributes that are."""
    if isinstance(model, nn.Module):
        return
    inside = [f".{name}" for name, value in getattr(model, "__dict__", {}).items() if isinstance(value, nn.Module)]
    advice = f"give its module: {', '.join(inside)}" if inside else "give the torch.nn.Module that it trains"
    raise TypeError(f"carrousel.{function}: model is a {type(model).__name__}, not a torch.nn.Module: {advice}")


# ---- finding layers


def is_torch_layer(layer: nn.Module) -> bool:
    """Whether it is a recurrent layer of torch.nn, derived from one, or made from one by torch."""
    if isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        return True
    if isinstance(layer, ScriptModule):
        return layer.original_name in NAMES
    return is_quantized(layer) and type(layer).__name__ in NAMES


def is_our_layer(layer: nn.Module) -> bool:
    """Whether it is a layer of carrousel."""
    return isinstance(layer, Recurrent)


def is_quantized(layer: nn.Module) -> bool:
    """Whether it is a layer of torch's quantization."""
    return type(layer).__module__.startswith("torch.ao.nn.")


def check_kind(layer: nn.Module) -> None:
    """Raise ValueError with the reason if neither library has a layer for it."""
    if isinstance(layer, ScriptModule):
        raise ValueError("it is scripted or traced; swap before that")
    if is_quantized(layer):
        raise ValueError("it is quantized, but carrousel has no quantized layers")
    if isinstance(layer, nn.RNNCellBase):
        raise ValueError("it computes one step, but carrousel replaces layers that run over a sequence")
    if not isinstance(layer, (nn.LSTM, nn.GRU, nn.RNN, Recurrent)):
        raise ValueError("it is derived from torch.nn.RNNBase, with a forward of its own")


def find_layers(model: nn.Module, is_wanted: Callable[[nn.Module], bool]) -> list[tuple[nn.Module, list[str]]]:
    """Every layer for which `is_wanted` is true, once, with all of its names."""
    found: dict[int, tuple[nn.Module, list[str]]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if is_wanted(module):
            found.setdefault(id(module), (module, []))[1].append(name)
    return list(found.values())


def is_compiled(model: nn.Module, name: str) -> bool:
    """Whether torch.compile was called with the layer of this name: the compiled function holds it."""
    parent = model.get_submodule(name.rpartition(".")[0])
    return bool(name) and type(parent).__module__.startswith("torch._dynamo.")


# ---- replacing them


def replace_layers(model: nn.Module, is_wanted: Callable[[nn.Module], bool], convert: Convert) -> Swapped:
    """Replace the wanted layers that `convert` can convert; all are made before the model is changed."""
    new: Replacements = {}
    replaced, left = [], []
    for layer, names in find_layers(model, is_wanted):
        try:
            if any(is_compiled(model, name) for name in names):
                raise ValueError("it is compiled (torch.compile); swap before compiling")
            check_kind(layer)
            made = convert(layer)
        except ValueError as error:
            left.append(Layer(tuple(names), describe(layer), reason=str(error)))
        else:
            new[id(layer)] = layer, made
            replaced.append(Layer(tuple(names), describe(layer), now=class_name(made)))
    put_in_place(model, new)
    return Swapped(new[id(model)][1] if id(model) in new else model, tuple(replaced), tuple(left))


# ---- in the model


def put_in_place(model: nn.Module, new: Replacements) -> None:
    """Put the new layers in place of the old ones: in the model's modules and in other attributes."""
    of_modules = vars(nn.Module()).keys()
    for module in [*model.modules(), *(made for _, made in new.values())]:
        for name, child in module._modules.items():
            if id(child) in new:
                module._modules[name] = new[id(child)][1]
        for name in [name for name in vars(module) if name not in of_modules]:
            if (value := replace_in_value(vars(module)[name], new, set())) is not vars(module)[name]:
                vars(module)[name] = value
    for old, made in new.values():
        move_hooks(old, made)


def replace_in_value(value: Any, new: Replacements, seen: set[int]) -> Any:
    """An attribute with the new layers in place of the old; lists and dicts are changed in place.

    torch does not look into them, but the model's forward may: it would use the old layers, which model.train() and
    model.eval() would no longer reach.
    """
    if id(value) in new:
        return new[id(value)][1]
    if type(value) not in (list, dict, tuple) or id(value) in seen:
        return value
    seen.add(id(value))
    if isinstance(value, tuple):
        items = tuple(replace_in_value(item, new, seen) for item in value)
        return value if all(a is b for a, b in zip(items, value)) else items
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        value[key] = replace_in_value(item, new, seen)
    return value


def move_hooks(old: nn.Module, new: nn.Module) -> None:
    """Give the new layer the old one's dicts of hooks, which the handles that remove hooks refer to."""
    for name in [name for name in vars(nn.Module()) if "_hooks" in name]:
        known, bound = vars(old)[name], vars(new)[name]
        vars(old)[name] = known.copy()
        known.update(bound)
        vars(new)[name] = known
