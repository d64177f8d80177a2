"""Records what a step does: the step runs once on `Traced` values, and each operation adds a value to a tape.

A step is written with Python's operators, with methods, or with torch's functions of the same names: torch.tanh(x) is
x.tanh().
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from math import isfinite
from numbers import Real
from typing import Any, ClassVar, TypeAlias

from sympy import Dummy, Function, Pow, Rational, S


class CodegenError(TypeError):
    """A cell's step does something that cannot be generated."""


class Tape:
    """The values that a step computes, in order, each an expression of rows, states, weights and earlier values."""

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}
        self.known: dict[Any, Any] = {}
        self.uses: Counter[Any] = Counter()
        self.normalised: dict[Any, Any] = {}  # value of layer_norm -> its argument

    def record(self, expr: Any) -> Traced:
        """Add a value, or find it if the step computed the same before."""
        if expr.is_Atom:  # such as x * 1
            return Traced(self, expr)
        if expr not in self.known:
            symbol = self.known[expr] = Dummy()
            self.values[symbol] = expr
            # a power is its base more than once
            self.uses.update(dict.fromkeys(expr.free_symbols, 2 if isinstance(expr, Pow) and expr.exp != -1 else 1))
        return Traced(self, self.known[expr])

    def call(self, name: str, *arguments: Any) -> Traced:
        """Add the value of a function of `functions.DERIVATIVES`."""
        return self.record(Function(name)(*map(self.operand, arguments)))

    def normalise(self, value: Traced) -> Traced:
        """Add the value normalised over all units. No unit could compute it by itself."""
        if self.normalised:
            raise CodegenError("layer_norm a second time: the kernels normalise one value of a step")
        symbol, inner = Dummy(), self.operand(value)
        self.normalised[symbol] = inner
        self.uses.update(inner.free_symbols)
        return Traced(self, symbol)

    def operand(self, value: Any) -> Any:
        """The symbol of a traced value, or a number, exact as is all arithmetic on numbers that follows."""
        if isinstance(value, Mask):
            raise CodegenError("arithmetic on a comparison: use torch.where(x < y, ..., ...), or (x < y) * z")
        if isinstance(value, Traced):
            return value.symbol
        if isinstance(value, Real) and isfinite(value):
            return Rational(value)
        raise CodegenError(f"{value!r}, which is neither a value of the step nor a finite number")


Operation: TypeAlias = "Callable[..., Traced]"  # a method of Traced that computes a value
Comparison: TypeAlias = "Callable[..., Mask]"  # one that compares two


def _binary(operation: Callable[[Any, Any], Any]) -> Operation:
    return lambda self, other: self.tape.record(operation(self.tape.operand(self), self.tape.operand(other)))


def _function(name: str) -> Operation:
    return lambda self, *others: self.tape.call(name, self, *others)


def _compare(name: str, swapped: bool = False) -> Comparison:
    def compare(self: Traced, other: Any) -> Mask:
        pair = (other, self) if swapped else (self, other)
        return Mask(self.tape, self.tape.call(name, *pair).symbol)

    return compare


def _refused(what: str, advice: str) -> Any:
    """An operator of Python that is not an operation unit by unit."""

    def refuse(self: Traced, *others: Any) -> Any:
        raise CodegenError(f"{what}: {advice}")

    return refuse


UNIT_BY_UNIT = "a kernel computes each unit by itself: name more rows, states or weights instead"
NO_NUMBER = "a kernel is made before there are numbers: use torch.where, maximum or products"


class Traced:
    """An argument of `step` in place of a tensor: each operation on it is recorded on the tape."""

    def __init__(self, tape: Tape, symbol: Any) -> None:
        self.tape = tape
        self.symbol = symbol

    __add__: ClassVar[Operation] = _binary(operator.add)
    __sub__: ClassVar[Operation] = _binary(operator.sub)
    __mul__: ClassVar[Operation] = _binary(operator.mul)
    __truediv__: ClassVar[Operation] = _binary(operator.truediv)
    __radd__: ClassVar[Operation] = _binary(lambda x, y: y + x)
    __rsub__: ClassVar[Operation] = _binary(lambda x, y: y - x)
    __rmul__: ClassVar[Operation] = _binary(lambda x, y: y * x)
    __rtruediv__: ClassVar[Operation] = _binary(lambda x, y: y / x)
    __abs__: ClassVar[Operation] = _function("abs")
    __lt__: ClassVar[Comparison] = _compare("less")
    __le__: ClassVar[Comparison] = _compare("less_equal")
    __gt__: ClassVar[Comparison] = _compare("less", swapped=True)
    __ge__: ClassVar[Comparison] = _compare("less_equal", swapped=True)
    __eq__: ClassVar[Comparison] = _compare("equal")  # type: ignore[assignment]
    __hash__: ClassVar[Callable[[Traced], int]] = object.__hash__

    sigmoid: ClassVar[Operation] = _function("sigmoid")
    tanh: ClassVar[Operation] = _function("tanh")
    relu: ClassVar[Operation] = _function("relu")
    exp: ClassVar[Operation] = _function("exp")
    expm1: ClassVar[Operation] = _function("expm1")
    log: ClassVar[Operation] = _function("log")
    log1p: ClassVar[Operation] = _function("log1p")
    sqrt: ClassVar[Operation] = _function("sqrt")
    sign: ClassVar[Operation] = _function("sign")
    maximum: ClassVar[Operation] = _function("maximum")
    minimum: ClassVar[Operation] = _function("minimum")

    # torch's other names
    add = __add__
    sub = __sub__
    rsub = __rsub__
    mul = __mul__
    multiply = __mul__
    div = __truediv__
    divide = __truediv__
    true_divide = __truediv__
    abs = __abs__
    absolute = __abs__
    sgn = sign
    lt = __lt__
    less = __lt__
    le = __le__
    less_equal = __le__
    gt = __gt__
    greater = __gt__
    ge = __ge__
    greater_equal = __ge__
    eq = __eq__

    def __ne__(self, other: Any) -> Mask:  # type: ignore[override]
        return ~(self == other)

    ne = __ne__
    not_equal = __ne__

    def __neg__(self) -> Traced:
        return self.tape.record(-self.tape.operand(self))

    neg = __neg__
    negative = __neg__

    def __pow__(self, power: float) -> Traced:
        if isinstance(power, Real) and float(power).is_integer():
            return self.tape.record(self.tape.operand(self) ** int(power))
        if isinstance(power, Real) and float(2 * power).is_integer():
            return self.sqrt() ** int(2 * power)
        raise CodegenError(f"the power {power!r}: a power must be an integer or half of one")

    pow = __pow__

    def __bool__(self) -> bool:
        raise CodegenError("a decision on a value (if, and, or, not, min, max): use torch.where, maximum or products")

    __getitem__: ClassVar[Any] = _refused("indexing a tensor, x[...]", UNIT_BY_UNIT)
    __setitem__ = __getitem__
    __iter__: ClassVar[Any] = _refused("looking at a tensor's parts (for, in, len, unpacking)", UNIT_BY_UNIT)
    __len__ = __iter__
    __contains__ = __iter__
    __matmul__: ClassVar[Any] = _refused("the operation '@'", UNIT_BY_UNIT)
    __rmatmul__ = __matmul__
    __float__: ClassVar[Any] = _refused("a value as a number (float, int)", NO_NUMBER)
    __int__ = __float__
    __index__ = __float__
    __complex__ = __float__
    __round__ = __float__

    def __repr__(self) -> str:
        return "a value of the step"

    def _layer_norm(self) -> Traced:
        return self.tape.normalise(self)

    def square(self) -> Traced:
        """x^2."""
        return self * self

    def reciprocal(self) -> Traced:
        """1 / x."""
        return 1 / self

    def rsqrt(self) -> Traced:
        """1 / sqrt(x)."""
        return 1 / self.sqrt()

    def clamp(self, min: Any = None, max: Any = None) -> Traced:
        """As torch's: its derivative is 1 on the bounds too, if they are numbers."""
        if isinstance(min, Real) and isinstance(max, Real):
            return self.tape.call("clamp", self, min, max)
        y = self if max is None else (self > max).where(max, self)
        return y if min is None else (self < min).where(min, y)

    clip = clamp

    def clamp_min(self, min: Any) -> Traced:
        """The larger of x and a bound."""
        return self.clamp(min=min)

    def clamp_max(self, max: Any) -> Traced:
        """The smaller of x and a bound."""
        return self.clamp(max=max)

    def hardtanh(self, min_val: float = -1.0, max_val: float = 1.0) -> Traced:
        """x, cut to the bounds."""
        return self.clamp(min_val, max_val)

    def relu6(self) -> Traced:
        """x, cut to [0, 6]."""
        return self.clamp(0, 6)

    # No hardsigmoid: in float64 its derivative in torch is one sixth to only seven digits, and a kernel would differ.

    def leaky_relu(self, negative_slope: float = 0.01) -> Traced:
        """x where x > 0, else negative_slope x."""
        return (self > 0).where(self, negative_slope * self)

    def elu(self, alpha: float = 1.0) -> Traced:
        """x where x > 0, else alpha (e^x - 1)."""
        return (self > 0).where(self, alpha * self.expm1())

    def silu(self) -> Traced:
        """x sigmoid(x)."""
        return self * self.sigmoid()

    def softsign(self) -> Traced:
        """x / (1 + |x|)."""
        return self / (1 + self.abs())

    def softplus(self, beta: float = 1, threshold: float = 20) -> Traced:
        """As torch's: above the threshold it is the identity."""
        scaled = self * beta
        return (scaled > threshold).where(self, self.tape.call("softplus", scaled) / beta)

    def logsigmoid(self) -> Traced:
        """log(sigmoid(x)) = -softplus(-x)."""
        return -self.tape.call("softplus", -self)

    log_sigmoid = logsigmoid

    def logaddexp(self, other: Any) -> Traced:
        """log(e^x + e^other)."""
        return other + self.tape.call("softplus", self - other)

    def lerp(self, end: Any, weight: Any) -> Traced:
        """x + weight (end - x)."""
        return self + weight * (end - self)

    def where(self, condition: Any, other: Any) -> Traced:
        """x where the condition holds, else other."""
        if not isinstance(condition, Mask):
            raise CodegenError(f"where() of {condition!r}, which is not a comparison of values")
        return condition.where(self, other)

    def zeros_like(self) -> Traced:
        """0."""
        return Traced(self.tape, S.Zero)

    def new_zeros(self, size: Any) -> Traced:
        """0, of any size: it is the same for every unit."""
        return Traced(self.tape, S.Zero)

    def ones_like(self) -> Traced:
        """1."""
        return Traced(self.tape, S.One)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by Python or torch, not by the cell
            raise AttributeError(name)
        raise CodegenError(f"the operation {name!r}: there are + - * / **, comparisons, {', '.join(OPERATIONS)}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """torch.tanh(x) is x.tanh(). torch calls this method; torch is not imported here."""
        name, kwargs = function.__name__, dict(kwargs or {})
        if kwargs.pop("inplace", False):
            raise CodegenError(f"{name}(inplace=True): a step must not change its arguments")
        args = (kwargs.pop("input"), *args) if "input" in kwargs else args
        if not args or isinstance(args[0], (list, tuple)):
            raise CodegenError(f"the operation {name!r}, here of several values: {UNIT_BY_UNIT}")
        if not isinstance(args[0], Traced):
            what = "a tensor from outside the step" if name in OPERATIONS else "no value of the step"
            raise CodegenError(
                f"{name}() of {what}: a step computes with its rows, states and weights, and with numbers"
            )
        return getattr(args[0], name)(*args[1:], **kwargs)


class Mask(Traced):
    """A comparison: 1 where it holds, else 0. It chooses (where), multiplies, and combines with & | ~."""

    def where(self, x: Any, other: Any) -> Traced:  # type: ignore[override]
        """x where the comparison holds, else other."""
        return self.tape.call("select", self._number(), x, other)

    def _number(self) -> Traced:
        return Traced(self.tape, self.symbol)

    def __mul__(self, other: Any) -> Traced:
        return self._number() * other

    __rmul__ = __mul__
    mul = __mul__
    multiply = __mul__

    def __invert__(self) -> Mask:
        return Mask(self.tape, (1 - self._number()).symbol)

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.tape, (self._number() * _mask(other)._number()).symbol)

    def __or__(self, other: Mask) -> Mask:
        return ~(~self & ~_mask(other))

    logical_not = __invert__
    logical_and = __and__
    logical_or = __or__
    bitwise_not = __invert__
    bitwise_and = __and__
    bitwise_or = __or__


def _mask(value: Any) -> Mask:
    if not isinstance(value, Mask):
        raise CodegenError(f"{value!r}, which is not a comparison of values")
    return value


OPERATIONS = sorted(name for name in vars(Traced) if not name.startswith("_"))
