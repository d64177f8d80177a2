"""`carrousel.swap(model)`: our layers in the place of torch.nn's in any model, and `swap_back`.

The model is changed in place. Its Parameters stay the same objects, so optimisers that hold them go on, and so does its
`state_dict`.
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
Convert = Callable[[Any], nn.Module]  # raises ValueError, with the reason, where a layer has to be left


def swap(model: nn.Module) -> Swapped:
    """Replace every torch.nn.LSTM, GRU and RNN in a model by ours, in place.

    Parameters stay the same objects, with their names and order. The new layers have the options, buffers, hooks,
    parametrisations, training mode and other attributes of the old; a layer that is used in several places stays one
    layer. What cannot be replaced is left as it is and listed with the reason: subclasses that define more than a
    constructor, layers whose `forward` was replaced, and what is compiled, scripted or quantized.

    Args:
        model: any module, on any device. Swap before torch.compile, torch.jit.script or a wrapper that copies it.

    Returns:
        What was replaced and what was not. If `model` is itself a torch.nn.LSTM, GRU or RNN, nothing can be changed in
        place: use the `model` of what is returned.

    Raises:
        TypeError: model is not a module.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.LSTM(28, 256, batch_first=True))
        >>> carrousel.swap(model)
        Swapped: 1 replaced, 0 left
          0: torch.nn.LSTM(28, 256, batch_first=True) -> carrousel.LSTM
    """
    check_module(model, "swap")
    return replace_layers(model, is_torch_layer, lambda layer: from_torch(layer, OUR_CLASSES[layer.mode]))


def swap_back(model: nn.Module) -> Swapped:
    """Replace every `carrousel.LSTM`, `GRU` and `RNN` in a model by torch.nn's, in place: the reverse of `swap`.

    Layers with a cell or an option that torch does not have are left, and listed with the reason. A subclass of a layer
    of torch that `swap` replaced comes back as torch's own class.

    Args:
        model: as `swap` takes it.

    Returns:
        As `swap` does.

    Raises:
        TypeError: model is not a module.
    """
    check_module(model, "swap_back")
    return replace_layers(model, is_our_layer, to_torch)


def check_module(model: object, function: str) -> None:
    """Raise TypeError, with the attributes that are modules, unless the model is one."""
    if isinstance(model, nn.Module):
        return
    inside = [f".{name}" for name, value in getattr(model, "__dict__", {}).items() if isinstance(value, nn.Module)]
    advice = f"give its module: {', '.join(inside)}" if inside else "give the torch.nn.Module that it trains"
    raise TypeError(f"carrousel.{function}: model is a {type(model).__name__}, no torch.nn.Module; {advice}")


# ---- what is found


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
    """Whether torch's quantization made it."""
    return type(layer).__module__.startswith("torch.ao.nn.")


def check_kind(layer: nn.Module) -> None:
    """Raise ValueError, with the reason, if neither library has a layer for it."""
    if isinstance(layer, ScriptModule):
        raise ValueError("it is scripted or traced; swap before that")
    if is_quantized(layer):
        raise ValueError("it is quantized, and carrousel has no quantized layers")
    if isinstance(layer, nn.RNNCellBase):
        raise ValueError("it computes one step, and carrousel replaces layers that run over a sequence")
    if not isinstance(layer, (nn.LSTM, nn.GRU, nn.RNN, Recurrent)):
        raise ValueError("it is derived from torch.nn.RNNBase, with a forward of its own")


def find_layers(model: nn.Module, is_wanted: Callable[[nn.Module], bool]) -> list[tuple[nn.Module, list[str]]]:
    """Every layer that is wanted, once, with all of its names."""
    found: dict[int, tuple[nn.Module, list[str]]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if is_wanted(module):
            found.setdefault(id(module), (module, []))[1].append(name)
    return list(found.values())


def is_compiled(model: nn.Module, name: str) -> bool:
    """Whether the layer of this name is what torch.compile was called with: the compiled function holds it."""
    parent = model.get_submodule(name.rpartition(".")[0])
    return bool(name) and type(parent).__module__.startswith("torch._dynamo.")


# ---- what is replaced


def replace_layers(model: nn.Module, is_wanted: Callable[[nn.Module], bool], convert: Convert) -> Swapped:
    """Replace the layers that are wanted and that `convert` converts; all are made before the model is changed."""
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


# ---- where the model holds them


def put_in_place(model: nn.Module, new: Replacements) -> None:
    """Put the new layers where the model holds the old ones: among its modules, and in attributes beside them."""
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
    """An attribute with the new layers in the place of the old; lists and dicts are changed in place.

    torch does not look into them, but the model's forward may: without this it would go on with the old layers, which
    model.train() and model.eval() would not reach any more.
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
    """Give the new layer the very dicts of the old one's hooks, of which the handles that remove hooks know."""
    for name in [name for name in vars(nn.Module()) if "_hooks" in name]:
        known, bound = vars(old)[name], vars(new)[name]
        vars(old)[name] = known.copy()
        known.update(bound)
        vars(new)[name] = known
