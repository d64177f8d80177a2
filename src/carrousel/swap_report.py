"""The report of `carrousel.swap` and `swap_back`: the model, and which of its recurrent layers were replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations


class Layer(NamedTuple):
    """One layer of the report.

    Args:
        names: its names in the model, as `named_modules` has them: several if it is shared, "" if it is the model.
        was: the old layer, such as "torch.nn.LSTM(4, 8, batch_first=True)".
        now: the new class, such as "carrousel.LSTM"; "" if the layer was not replaced.
        reason: why it was not replaced; "" if it was.
    """

    names: tuple[str, ...]
    was: str
    now: str = ""
    reason: str = ""

    def __str__(self) -> str:
        names = ", ".join(name or "(the model)" for name in self.names)
        return f"{names}: {self.was} -> {self.now}" if self.now else f"{names}: {self.was} is left: {self.reason}"


@dataclass(frozen=True, eq=False)
class Swapped:
    """The report of `swap` and `swap_back`; printed, it has a line for each layer.

    Args:
        model: the model, the same object as before; or the new layer, if the model was itself a replaced layer.
        replaced: the layers that were replaced.
        left: the recurrent layers that were not replaced, each with the reason.
    """

    model: nn.Module
    replaced: tuple[Layer, ...]
    left: tuple[Layer, ...]

    def __repr__(self) -> str:
        """A line for each layer, after one that counts them."""
        if not self.replaced and not self.left:
            return f"Swapped: no recurrent layer found in {type(self.model).__name__}"
        lines = [f"Swapped: {len(self.replaced)} replaced, {len(self.left)} left", *self.replaced, *self.left]
        return "\n  ".join(map(str, lines))

    def __getattr__(self, name: str) -> NoReturn:
        """Raise AttributeError: the message helps users who take the report for the model."""
        raise AttributeError(
            f"Swapped has no attribute {name}: it is the report of carrousel.swap. The model was changed in place; "
            "use it, or this object's attribute `model`"
        )


def describe(layer: nn.Module) -> str:
    """A layer as a line of code, such as torch.nn.LSTM(4, 8)."""
    return f"{class_name(layer)}({layer.extra_repr()})"


def class_name(layer: nn.Module) -> str:
    """The name of a layer's class as users import it."""
    of_class = type_before_parametrizations(layer)
    module = of_class.__module__
    for defined_in, imported_from in (("torch.nn.modules.rnn", "torch.nn"), ("carrousel.layers.", "carrousel")):
        if module.startswith(defined_in):
            module = imported_from
    return f"{module}.{of_class.__qualname__}"
