"""A cell's equations -> the C++ of its pointwise step, forward and backward.

The build runs this file as a script, where neither torch nor the installed package is at hand:

    python src/carrousel/codegen.py OUT_DIR

writes one header for each cell, and all.hpp. carrousel.symbolic does the algebra; this file prints.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    # `carrousel` becomes a bare namespace, since its __init__ imports torch. The script's own folder leaves the path,
    # where modules of ours would hide others of the same name.
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    sys.modules["carrousel"] = ModuleType("carrousel")
    sys.modules["carrousel"].__path__ = [str(here)]

from sympy import Add, Integer, Mul, Pow, Rational
from sympy.core.function import AppliedUndef

from carrousel.cells import ALL, Cell
from carrousel.cells.base import EPS
from carrousel.symbolic import CodegenError, Steps, derive, derive_stages
from carrousel.tape import DERIVATIVES

# Names that no row, state or weight has in the C++: its own words, and ours.
RESERVED = frozenset(
    word
    for line in (
        "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class",
        "compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype",
        "default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline",
        "int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public",
        "register reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch",
        "template this thread_local throw true try typedef typeid typename union unsigned using virtual void",
        "volatile wchar_t while xor xor_eq",
        "V a s p noise s_new keep ds_new dk da ds dp one two half broadcast step_of all",
        "forward backward backward_through_gates kept_names",
        "before after backward_after backward_before s_late raw normal d_raw d_normal held",
        "normed normalises late epsilon",
        "name rows x_first x_rows h_first h_rows states weights masks kept x_order h_order reads_old reads_new neutral",
    )
    for word in (*line.split(), *DERIVATIVES)
)

MAX_STATES = MAX_MASKS = 4  # sequence.hpp's max_states, max_masks

CONSTANTS = {"one": Integer(1), "two": Integer(2), "half": Rational(1, 2)}

GENERATED = "// Generated from the equations in {module} by carrousel/codegen.py: edit those, not this.\n//\n"
HEADER = """\
// V is a number or a vector of numbers, with + - * / and unary minus, and with these declared in namespace carrousel
// before this file is included: broadcast<V>(double), sigmoid(V), tanh(V), relu(V), step_of(V) (1 where V > 0, else 0),
// and what else the cell calls. Each pointer is to one V for each name below. All functions load all they need
// before they store anything: outputs may lie on inputs. The macros CARROUSEL_TARGET (a namespace for each instruction
// set, or the linker would keep one set's functions for all) and CARROUSEL_INLINE come from the includer as well.
//   a     [rows]     pre-activations: {rows}
//   s     [states]   the states before the step: {states};  s_new after it
//   p     [weights]  one weight for each unit: {weights}
//   noise [masks]    random masks: {masks}
//   keep  [kept]     what backward needs of the rows: {kept}
//   d...             gradients of the loss; ds through this step only, not through R; dp this step's share; dk [kept]
//                    of what is kept and called as a row: backward_through_gates is for a loss that looks at it
#pragma once

namespace carrousel::CARROUSEL_TARGET::cells {{

struct {name} {{
  static constexpr const char* name = "{name}";
  // rows [x_first, x_first + x_rows) are fed by x, rows [h_first, h_first + h_rows) by h
{constants}

{functions}
}};

}}  // namespace carrousel::CARROUSEL_TARGET::cells
"""


def write(folder: Path, cells: Iterable[Cell]) -> None:
    """Write one header for each cell, and all.hpp, which includes them and lists them.

    Raises:
        CodegenError: as `header`.
    """
    cells = list(cells)
    headers = {cell.name: GENERATED.format(module=cell.step.__module__) + header(cell) for cell in cells}
    normed = [cell.name for cell in cells if cell.normed]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**headers, "all": listing(headers, normed)}.items():
        file = folder / f"{name}.hpp"
        if not file.exists() or file.read_text(encoding="utf-8") != text:  # else nothing is compiled anew
            file.write_text(text, encoding="utf-8")


def listing(names: Iterable[str], normed: Iterable[str] = ()) -> str:
    """all.hpp for the cells of these names: CARROUSEL_CELLS(X), and CARROUSEL_NORMED_CELLS(X) for the normed ones."""
    names, normed = list(names), list(normed)
    includes = "".join(f'#include "{name}.hpp"\n' for name in names)
    plain = [name for name in names if name not in normed]
    listed = "".join(
        f"#define {macro}(X)" + "".join(f" X({name})" for name in of_kind) + "\n"
        for macro, of_kind in {"CARROUSEL_CELLS": plain, "CARROUSEL_NORMED_CELLS": normed}.items()
    )
    return f"// Generated by carrousel/codegen.py.\n#pragma once\n\n{includes}\n{listed}"


def header(cell: Cell) -> str:
    """The C++ header of one cell: the same for the same equations, wherever they stand.

    Raises:
        CodegenError: the step can not be generated, there are too many states, or the cell's name is taken in C++.
    """
    if cell.name in RESERVED:
        raise CodegenError(f"cell {cell.name!r}: this name has a meaning in the C++: choose another")
    if len(cell.fed) > 1:
        raise CodegenError(f"cell {cell.name!r}: {', '.join(cell.fed)} are fed back, and the kernels feed back h alone")
    if len(cell.states) > MAX_STATES:
        raise CodegenError(f"cell {cell.name!r}: {len(cell.states)} states, and the kernels carry at most {MAX_STATES}")
    if len(cell.masks) > MAX_MASKS:
        raise CodegenError(f"cell {cell.name!r}: {len(cell.masks)} masks, and the kernels draw at most {MAX_MASKS}")
    kept, forward, backward, extra, functions = (_whole, _staged)[cell.normed](cell)
    spoken = {"rows": cell.rows, "states": cell.states, "weights": cell.weights, "kept": kept}
    spoken["masks"] = [name for name, _ in cell.masks]
    names = [_kept_name(cell, value, forward) for value in kept]
    return HEADER.format(
        name=cell.name,
        constants=_constants(cell, names, {*_loads(backward).values()}) + extra,
        functions="\n\n".join(functions),
        **{key: " ".join(map(str, names)) or "none" for key, names in spoken.items()},
    )


def _whole(cell: Cell) -> tuple[list[Any], Steps, Steps, str, list[str]]:
    """What is kept, forward, backward, and the C++: of a cell whose step needs nothing but its own unit."""
    forward, backward, kept, through_gates = derive(cell, RESERVED)
    functions = [
        _function("forward", "a s p noise", "s_new keep", forward),
        _function("backward", "keep s s_new p noise ds_new", "da ds dp", backward),
        _function("backward_through_gates", "keep s s_new p noise ds_new dk", "da ds dp", through_gates),
    ]
    return kept, forward, backward, "", functions


# Of a cell that is normalised: what the functions of its stages read, and what they write.
STAGES = {
    "before": ("a s p", "s_new keep raw"),
    "after": ("keep s s_new p normal", "s_late"),
    "backward_after": ("keep s s_new p normal ds_new dk", "d_normal held"),
    "backward_before": ("keep s s_new p normal ds_new dk d_raw held", "da ds dp"),
}


def _staged(cell: Cell) -> tuple[list[Any], Steps, Steps, str, list[str]]:
    """As `_whole`, of a cell that is `normed`."""
    stages = derive_stages(cell, RESERVED)
    steps = stages.functions
    late = ", ".join(str(late).lower() for late in stages.late)
    held = sum(place.startswith("held") for place in steps["backward_after"].stores) if "backward_after" in steps else 0
    extra = (
        "\n  // over all units: the kernels normalise W x and R h and, between the stages, turn raw into normal"
        f"\n  static constexpr bool normed = true, normalises = {str('after' in steps).lower()};"
        f"\n  static constexpr bool late[] = {{{late}}};  // is the state known only after that?"
        f"\n  static constexpr int held = {held};  // what backward's stages have in common, besides keep and normal"
        f"\n  static constexpr double epsilon = {EPS!r};"
    )
    functions = [_function(name, *STAGES[name], steps[name]) for name in STAGES if name in steps]
    return stages.kept, steps["before"], steps["backward_before"], extra, functions


def _kept_name(cell: Cell, value: Any, forward: Steps) -> str:
    """A gate with the function that makes it of its row, "sigmoid i"; what else is kept by its name alone."""
    expr = forward.values.get(value)
    if str(value) in cell.rows and isinstance(expr, AppliedUndef):
        return f"{expr.func.__name__} {value}"
    return str(value)


def _constants(cell: Cell, kept: list[str], loads: set[str]) -> str:
    x_rows = [row for row in cell.rows if row in cell.from_x]
    h_rows = [row for row in cell.rows if row in cell.from_h]
    states = range(len(cell.states))
    h_first = len(cell.rows) - len(h_rows)
    arrays = [
        ("int", "x_order", map(cell.from_x.index, x_rows), "row x_first + k is fed by block x_order[k] of W"),
        ("int", "h_order", map(cell.from_h.index, h_rows), "row h_first + k is fed by block h_order[k] of R"),
        ("bool", "reads_old", (f"s[{k}]" in loads for k in states), "does backward read state k before the step?"),
        ("bool", "reads_new", (f"s_new[{k}]" in loads for k in states), "and after it?"),
        ("double", "neutral", (value for _, value in cell.masks), "what each mask is where nothing is drawn"),
    ]
    lines = [
        f"static constexpr int rows = {len(cell.rows)}, x_first = 0, x_rows = {len(x_rows)}, h_first = {h_first}, "
        f"h_rows = {len(h_rows)}, states = {len(states)}, weights = {len(cell.weights)}, "
        f"masks = {len(cell.masks)}, kept = {len(kept)};"
    ]
    for kind, name, values, comment in arrays:
        listed = ", ".join(str(value).lower() for value in values) or "-1"  # C++ has no empty arrays
        lines.append(f"static constexpr {kind} {name}[] = {{{listed}}};  // {comment}")
    names = ", ".join(f'"{name}"' for name in kept) or "nullptr"
    lines.append(f"static constexpr const char* kept_names[] = {{{names}}};")
    return "\n".join(f"  {line}" for line in lines)


# ---- functions ------------------------------------------------------------------------------------------------------


def _function(name: str, inputs: str, outputs: str, steps: Steps) -> str:
    body = _body(steps)
    used = {_array_of(place) for place in [*_loads(steps).values(), *steps.stores]}
    parameters = [f"const V* {array}" for array in inputs.split()] + [f"V* {array}" for array in outputs.split()]
    parameters = [text if text.split()[-1] in used else f"[[maybe_unused]] {text}" for text in parameters]
    lines = [
        f"// {_operations(body)} operations",
        "template <class V>",
        f"static CARROUSEL_INLINE void {name}({', '.join(parameters)}) {{",
        *(f"  {line}" for line in body),
        "}",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _body(steps: Steps) -> list[str]:
    """Loads, values, stores."""
    by_array = defaultdict(list)
    for symbol, place in _loads(steps).items():
        by_array[_array_of(place)].append(f"{symbol} = {place}")
    lines = [f"const V {', '.join(loads)};" for loads in by_array.values()]
    lines += [f"const V {symbol} = {_cpp(expr)};" for symbol, expr in _in_order(steps).items()]
    lines += [f"{place} = {_cpp(expr)};" for place, expr in steps.stores.items()]
    used = [name for name in CONSTANTS if re.search(rf"\b{name}\b", "\n".join(lines))]
    constants = ", ".join(f"{name} = broadcast<V>({float(CONSTANTS[name])})" for name in used)
    return [f"const V {constants};", *lines] if used else lines


def _array_of(place: str) -> str:
    return place.split("[")[0]


def _operations(lines: Iterable[str]) -> int:
    """How many + - * / the lines hold."""
    return sum(len(re.findall(r" [-+*/] |[ (]-\w", line)) for line in lines)


def _in_order(steps: Steps) -> dict[Any, Any]:
    """The values that the stores need, each after those it is made of, else in the order they have."""
    needed: dict[Any, Any] = {}
    for expr in steps.stores.values():
        _visit(expr, steps.values, needed)
    ordered: dict[Any, Any] = {}
    for symbol in steps.values:
        if symbol in needed:
            _visit(symbol, steps.values, ordered)
    return ordered


def _visit(expr: Any, values: dict[Any, Any], found: dict[Any, Any]) -> None:
    for symbol in values:
        if symbol in expr.free_symbols and symbol not in found:
            _visit(values[symbol], values, found)
            found[symbol] = values[symbol]


def _loads(steps: Steps) -> dict[Any, str]:
    """The symbols that are read, each with the first place that holds it."""
    exprs = [*_in_order(steps).values(), *steps.stores.values()]
    needed = {symbol for expr in exprs for symbol in expr.free_symbols}
    loads: dict[Any, str] = {}
    for place, symbol in steps.reads.items():
        if symbol in needed:
            loads.setdefault(symbol, place)
    return loads


# ---- expressions ----------------------------------------------------------------------------------------------------


def _cpp(expr: Any) -> str:
    """An expression with + - * / and functions only: a power is printed as its product."""
    if expr.is_Symbol:
        return expr.name
    if expr.is_Number:
        return next((name for name, value in CONSTANTS.items() if value == expr), f"broadcast<V>({float(expr)!r})")
    if isinstance(expr, AppliedUndef):
        return f"{expr.func.__name__}({', '.join(map(_cpp, expr.args))})"
    return _sum(expr) if isinstance(expr, Add) else _product(expr)


def _sum(expr: Any) -> str:
    first, *rest = sorted(expr.as_ordered_terms(), key=_is_negative)
    return _cpp(first) + "".join(f" - {_cpp(-term)}" if _is_negative(term) else f" + {_cpp(term)}" for term in rest)


def _is_negative(term: Any) -> bool:
    return bool(term.as_coeff_Mul()[0] < 0)


def _product(expr: Any) -> str:
    if _is_negative(expr):
        return f"-{_parenthesized(-expr)}"
    above, below = [], []
    for factor in expr.as_ordered_factors() if isinstance(expr, Mul) else [expr]:
        base, power = factor.as_base_exp() if isinstance(factor, Pow) else (factor, 1)
        (above if power > 0 else below).extend([_parenthesized(base)] * abs(int(power)))
    over = f"({' * '.join(below)})" if len(below) > 1 else "".join(below)
    return " * ".join(above or ["one"]) + (f" / {over}" if below else "")


def _parenthesized(expr: Any) -> str:
    return f"({_cpp(expr)})" if isinstance(expr, Add) else _cpp(expr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python codegen.py OUT_DIR")
    write(Path(sys.argv[1]), ALL.values())
