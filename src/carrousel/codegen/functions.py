"""The functions that the C++ can compute besides + - * /: their derivatives, and which of them are cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sympy import Function, S

# The derivatives by each argument, computed from the value y and the arguments. No other derivative is written by hand.
# At a kink they are those of torch: each argument of maximum(x, x) gets half.
DERIVATIVES: dict[str, Callable[..., tuple[Any, ...]]] = {
    "sigmoid": lambda y, x: (y * (1 - y),),
    "tanh": lambda y, x: (1 - y**2,),
    "relu": lambda y, x: (Function("step_of")(y),),  # 1 where y > 0, else 0
    "exp": lambda y, x: (y,),
    "expm1": lambda y, x: (y + 1,),
    "log": lambda y, x: (1 / x,),
    "log1p": lambda y, x: (1 / (1 + x),),
    "softplus": lambda y, x: (Function("sigmoid")(x),),
    "sqrt": lambda y, x: (1 / (2 * y),),
    "abs": lambda y, x: (Function("sign")(x),),
    "sign": lambda y, x: (S.Zero,),
    "clamp": lambda y, x, low, high: (_holds(low, x) * _holds(x, high), S.Zero, S.Zero),
    "maximum": lambda y, x, z: _halves(x, z),
    "minimum": lambda y, x, z: _halves(z, x),
    "select": lambda y, mask, x, z: (S.Zero, mask, 1 - mask),  # x where the mask is 1, z where it is 0
    "less": lambda y, x, z: (S.Zero, S.Zero),  # 1 where x < z, else 0
    "less_equal": lambda y, x, z: (S.Zero, S.Zero),
    "equal": lambda y, x, z: (S.Zero, S.Zero),
}

# These take as little work as a sum or a product: they are recomputed rather than saved.
CHEAP = frozenset(
    {"relu", "step_of", "abs", "sign", "clamp", "maximum", "minimum", "select", "less", "less_equal", "equal"}
)


def _halves(x: Any, z: Any) -> tuple[Any, Any]:
    sign = Function("sign")(x - z)
    return (1 + sign) / 2, (1 - sign) / 2


def _holds(x: Any, z: Any) -> Any:
    return Function("less_equal")(x, z)
