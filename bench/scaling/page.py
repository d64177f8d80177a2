"""The page: what was measured, in tables and pictures. Whether something is linear, its figures say."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import torch

from bench.scaling.endless import FIRST, NETWORK, STREAM
from bench.scaling.growth import FLOAT32, TOLERANCE, Growth
from bench.scaling.measure import OURS, TORCH, Plan, count_operations
from bench.scaling.picture import draw
from carrousel.bench.measurement import describe_machine, round_figure
from carrousel.errors import UserError

OPENING = """# How cost grows

Written by `{command}`, from the root of the repository, on {machine}.

Time is that of forward+backward of one LSTM layer in float32 on {threads}, at I {I}, H {H}, B {B}, T {T}, of which one
grows; medians of turns taken with `torch.nn.LSTM` in one run. Memory is the peak of a process, above its memory before.

The exponent is the slope of a line in its picture, where both axes are logarithmic, fitted to the larger half of the
sizes: a cost of exponent 1 doubles when the size does. It is called linear from {low:g} to {high:g}; inverse,
constant and quadratic are as near to -1, 0 and 2."""


def write_time(plan: Plan, growth: Growth) -> str:
    """How the products grow, and what the largest size costs in terms of the smallest."""
    of_products = count_operations(plan, growth.axis).exponent("products")
    small, large = growth.places[0], growth.places[-1]
    return (
        f"The multiplications and additions of the matrix products grow with exponent {of_products:.2f}. "
        f"{growth.axis} {large:,} takes {round_figure(growth.ratio(OURS))} times as long as {growth.axis} {small:,}, "
        f"with `torch.nn` {round_figure(growth.ratio(TORCH))} times."
    )


def write_threads(plan: Plan, growth: Growth) -> str:
    """How many times faster all threads are than one."""
    shape = plan.shape(H=plan.H_of_threads).name
    if len(growth.places) == 1:
        return f"At {shape}. Measured with one thread only."
    ours, theirs = (round_figure(1 / growth.ratio(who)) for who in (OURS, TORCH))
    return f"At {shape}. {growth.places[-1]} threads are {ours} times faster than one, with `torch.nn` {theirs} times."


def write_training(plan: Plan, growth: Growth) -> str:
    """What is saved for backward."""
    return (
        f"Forward+backward at I {plan.I}, H {plan.H}, B {plan.B}. Gates and states of every step are saved for "
        'backward; `memory="low"` saves the states, and computes the gates again. Each side and T is a process of its '
        "own."
    )


def write_stream(plan: Plan, growth: Growth) -> str:
    """What the sides are."""
    return (
        f"`layer.step(x, state)` of an LSTM with I {STREAM.I}, H {STREAM.H}, and `torch.nn.LSTM` called with one step "
        f"and the state of the call before, without gradients. {ENDLESS}"
    )


def write_online(plan: Plan, growth: Growth) -> str:
    """What the sides are, and why torch has two."""
    return (
        f"`Learner.learn_one` of a network of {NETWORK.blocks} blocks of {NETWORK.block_size} cells: the rule of 1997, "
        "whose errors reach back as far as the cells' states remember. torch has two counterparts. Autograd through "
        "all steps gives the same gradient of an error at the last step (the recurrent inputs are detached, the cells' "
        f"states are not); it is computed once, there. `torch.nn.LSTM` with {NETWORK.cells} units, its state detached "
        f"after every step, learns at every step from an error that reaches one step back. {ENDLESS}"
    )


ENDLESS = (
    f"MB are those above the memory after the first {FIRST} steps. Bytes a step are counted between the last two rows; "
    f"fewer than {FLOAT32}, a single float32 number, are called constant. The picture's axis of MB is linear up to 1."
)
SECTIONS: dict[str, tuple[str, Callable[[Plan, Growth], str]]] = {
    "T": ("Time against T", write_time),
    "B": ("Time against B", write_time),
    "H": ("Time against H", write_time),
    "threads": ("Time against threads", write_threads),
    "training": ("Memory of training against T", write_training),
    "stream": ("Memory of a stream against its steps", write_stream),
    "online": ("Memory of online learning against its steps", write_online),
}


def describe(name: str, growth: Growth) -> str:
    """A section in a line: what is measured, and how each side grows."""
    sides = "; ".join(f"{who} {growth.verdict(who)}" for who in growth.figures)
    return f"{SECTIONS[name][0]} ({growth.result}): {sides}"


def write_page(plan: Plan, found: dict[str, Growth], folder: Path, command: str) -> Path:
    """Write scaling.md into a folder, and its pictures into images/ there.

    Args:
        plan: what was measured.
        found: the figures of each section, by its name.
        folder: where to write.
        command: that made the figures.

    Returns:
        The page's file.

    Raises:
        UserError: the folder cannot be written.
    """
    images = make_images_folder(folder)
    parts = [write_opening(plan, command), "\n".join(wrap(f"* {describe(*each)}.", "  ") for each in found.items())]
    for name, growth in found.items():
        title, write_words = SECTIONS[name]
        draw(growth, images / f"scaling-{name}.svg")
        picture = f"![{title}]({images.name}/scaling-{name}.svg)"
        parts += [f"## {title}", wrap(write_words(plan, growth)), picture, growth.table()]
    page = folder / "scaling.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def write_opening(plan: Plan, command: str) -> str:
    """What was measured, on which machine, and what an exponent is."""
    count = torch.get_num_threads()
    threads = f"{count} thread{'s' * (count > 1)}"
    bounds = {"low": 1 - TOLERANCE, "high": 1 + TOLERANCE}
    sizes = {"I": plan.I, "H": plan.H, "B": plan.B, "T": plan.T}
    text = OPENING.format(command=command, machine=describe_machine(), threads=threads, **bounds, **sizes)
    return "\n\n".join(map(wrap, text.split("\n\n")))


def wrap(text: str, indent: str = "") -> str:
    """Lines of at most 120 characters; all but the first are indented."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def make_images_folder(folder: Path) -> Path:
    """The folder of the pictures.

    Raises:
        UserError: it cannot be made, or nothing can be written into it.
    """
    images = folder / "images"
    try:
        images.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=images):
            pass
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}; name another folder") from None
    return images
