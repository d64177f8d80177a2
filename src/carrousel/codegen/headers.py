"""A cell's C++ header: what its kernel is told of it, and its functions; and the list of all headers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sympy.core.function import AppliedUndef

from carrousel.cells import Cell
from carrousel.cells.functions import EPS
from carrousel.codegen.cpp import function
from carrousel.codegen.functions import DERIVATIVES
from carrousel.codegen.pointwise import derive
from carrousel.codegen.stages import derive_stages
from carrousel.codegen.steps import Steps
from carrousel.codegen.tape import CodegenError

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
        "V a s p mask s_new save show ds_new dk da ds dp one two half set1 step_of all",
        "forward backward backward_through_gates shown_names",
        "before after backward_after backward_before s_late raw normal d_raw d_normal held",
        "normed normalises late epsilon",
        "name rows x_first x_rows h_first h_rows states weights masks saved shown saved_places",
        "x_order h_order reads_old reads_new neutral fed fed_states",
    )
    for word in (*line.split(), *DERIVATIVES)
)

MAX_STATES, MAX_MASKS = 6, 4  # sequence.hpp's max_states, max_masks

GENERATED = "// Generated from the equations in {module} by carrousel.codegen: edit those, not this.\n//\n"
HEADER = """\
// V is a number or a vector of numbers, with + - * / and unary minus, and with these declared in namespace carrousel
// before this file is included: set1<V>(double), sigmoid(V), tanh(V), relu(V), step_of(V) (1 where V > 0, else 0),
// and what else the cell calls. Each pointer is to one V for each name below. All functions load all they need
// before they store anything: outputs may lie on inputs. The macros CARROUSEL_TARGET (a namespace for each instruction
// set, or the linker would keep one set's functions for all) and CARROUSEL_INLINE come from the includer as well.
//   a     [rows]     pre-activations: {rows}
//   s     [states]   the states before the step: {states};  s_new after it
//   p     [weights]  one weight for each unit: {weights}
//   mask  [masks]    random masks: {masks}
//   save  [saved]    what backward needs of the rows: {kept}
//   show  [shown]    the same with all gates, which are called as their rows: {shown}
//   d...             gradients of the loss; ds through this step only, not through R; dp this step's share; dk [shown]
//                    of the gates: backward_through_gates is for a loss that looks at them
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
    return f"// Generated by carrousel.codegen.\n#pragma once\n\n{includes}\n{listed}"


def header(cell: Cell) -> str:
    """The C++ header of one cell: the same for the same equations, wherever they stand.

    Raises:
        CodegenError: the step can not be generated, there are too many states, or the cell's name is taken in C++.
    """
    _check(cell)
    parts = _staged(cell) if cell.normed else _pointwise(cell)
    spoken = {
        "rows": cell.rows,
        "states": cell.states,
        "weights": cell.weights,
        "masks": [name for name, _ in cell.masks],
        "kept": parts.kept,
        "shown": parts.shown,
    }
    return HEADER.format(
        name=cell.name,
        constants=_constants(cell, parts) + parts.constants,
        functions="\n\n".join(parts.functions),
        **{key: " ".join(map(str, names)) or "none" for key, names in spoken.items()},
    )


def _check(cell: Cell) -> None:
    if cell.name in RESERVED:
        raise CodegenError(f"cell {cell.name!r}: this name has a meaning in the C++: choose another")
    if cell.normed and len(cell.fed) > 1:
        raise CodegenError(
            f"cell {cell.name!r}: fed={cell.fed}, and the kernels of a normed cell feed back {cell.fed[0]} alone"
        )
    if len(cell.states) > MAX_STATES:
        raise CodegenError(f"cell {cell.name!r}: {len(cell.states)} states, and the kernels carry at most {MAX_STATES}")
    if len(cell.masks) > MAX_MASKS:
        raise CodegenError(f"cell {cell.name!r}: {len(cell.masks)} masks, and the kernels draw at most {MAX_MASKS}")


class Parts(NamedTuple):
    """What a header is made of.

    Args:
        kept: the symbols that forward keeps for backward.
        shown: those that it keeps where the gates are shown.
        forward: the function that computes them.
        loads: what backward reads, by its place.
        functions: the C++ of all functions.
        constants: the C++ of those that other cells have not.
    """

    kept: list[Any]
    shown: list[Any]
    forward: Steps
    loads: set[str]
    functions: list[str]
    constants: str = ""


def _pointwise(cell: Cell) -> Parts:
    forward, backward, kept, through_gates, shown = derive(cell, RESERVED)
    functions = [
        function("forward", "a s p mask", "s_new save show", forward),
        function("backward", "save s s_new p mask ds_new", "da ds dp", backward),
        function("backward_through_gates", "show s s_new p mask ds_new dk", "da ds dp", through_gates),
    ]
    loads = {*backward.loads().values(), *through_gates.loads().values()}
    return Parts(kept, shown, forward, loads, functions)


# Of a cell that is normalised: what the functions of its stages read, and what they write.
STAGES = {
    "before": ("a s p", "s_new save raw"),
    "after": ("save s s_new p normal", "s_late"),
    "backward_after": ("save s s_new p normal ds_new dk", "d_normal held"),
    "backward_before": ("save s s_new p normal ds_new dk d_raw held", "da ds dp"),
}


def _staged(cell: Cell) -> Parts:
    stages = derive_stages(cell, RESERVED)
    steps = stages.functions
    late = ", ".join(str(late).lower() for late in stages.late)
    held = sum(place.startswith("held") for place in steps["backward_after"].stores) if "backward_after" in steps else 0
    constants = (
        "\n  // over all units: the kernels normalise W x and R h and, between the stages, turn raw into normal"
        f"\n  static constexpr bool normed = true, normalises = {str('after' in steps).lower()};"
        f"\n  static constexpr bool late[] = {{{late}}};  // is the state known only after that?"
        f"\n  static constexpr int held = {held};  // what backward's stages have in common, besides save and normal"
        f"\n  static constexpr double epsilon = {EPS!r};"
    )
    functions = [function(name, *STAGES[name], steps[name]) for name in STAGES if name in steps]
    loads = {*steps["backward_before"].loads().values()}
    return Parts(stages.kept, stages.kept, steps["before"], loads, functions, constants)


def _shown_name(cell: Cell, value: Any, forward: Steps) -> str:
    """A gate with the function that makes it of its row, "sigmoid i"; what else is shown by its name alone."""
    expr = forward.values.get(value)
    if str(value) in cell.rows and isinstance(expr, AppliedUndef):
        return f"{expr.func.__name__} {value}"
    return str(value)


def _constants(cell: Cell, parts: Parts) -> str:
    x_rows = [row for row in cell.rows if row in cell.from_x]
    h_rows = [row for row in cell.rows if row in cell.from_h]
    states = range(len(cell.states))
    h_first = len(cell.rows) - len(h_rows)
    arrays = [
        ("int", "x_order", map(cell.from_x.index, x_rows), "row x_first + k is fed by block x_order[k] of W"),
        ("int", "h_order", map(cell.from_h.index, h_rows), "row h_first + k is fed by block h_order[k] of R"),
        ("int", "fed_states", map(cell.states.index, cell.fed), "the states that R multiplies, one beside the other"),
        ("bool", "reads_old", (f"s[{k}]" in parts.loads for k in states), "is state k before the step read backward?"),
        ("bool", "reads_new", (f"s_new[{k}]" in parts.loads for k in states), "and after it?"),
        ("int", "saved_places", map(parts.shown.index, parts.kept), "where what is saved is among what is shown"),
        ("double", "neutral", (value for _, value in cell.masks), "what each mask is where nothing is drawn"),
    ]
    lines = [
        f"static constexpr int rows = {len(cell.rows)}, x_first = 0, x_rows = {len(x_rows)}, h_first = {h_first}, "
        f"h_rows = {len(h_rows)}, states = {len(states)}, fed = {len(cell.fed)}, weights = {len(cell.weights)}, "
        f"masks = {len(cell.masks)}, saved = {len(parts.kept)}, shown = {len(parts.shown)};"
    ]
    for kind, name, values, comment in arrays:
        listed = ", ".join(str(value).lower() for value in values) or "-1"  # C++ has no empty arrays
        lines.append(f"static constexpr {kind} {name}[] = {{{listed}}};  // {comment}")
    names = ", ".join(f'"{_shown_name(cell, value, parts.forward)}"' for value in parts.shown) or "nullptr"
    lines.append(f"static constexpr const char* shown_names[] = {{{names}}};")
    return "\n".join(f"  {line}" for line in lines)
