"""Client libraries before and after carrousel.swap: the same numbers, and the times.

    python -m bench.clients --markdown

Measures those clients that are installed. docs/clients.md has its table.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import carrousel
from bench.client_models.measured import Measured, Swap
from carrousel.bench.clock import medians
from carrousel.bench.measurement import describe_machine, round_figure
from carrousel.swap_report import Layer

# What pip calls each client; bench/client_models has a file for it.
CLIENTS = (
    "skorch",
    "captum",
    "lightning",
    "sb3-contrib",
    "darts",
    "neuralforecast",
    "pytorch-forecasting",
    "gluonts",
    "torchrl",
    "stanza",
    "neuralhydrology",
)


class Row(NamedTuple):
    """One client; differences are those between torch.nn's layers and ours, `ratio` is torch_ms / ours_ms."""

    client: str
    version: str
    model: str
    run: str
    outputs: float  # the largest difference
    loss: float
    torch_ms: float
    ours_ms: float

    def cells(self) -> list[str]:
        """What stands in the table."""
        differences = [f"{self.outputs:.1e}", f"{self.loss:.1e}"]
        times = [round_figure(self.torch_ms), round_figure(self.ours_ms), f"**{self.torch_ms / self.ours_ms:.1f}**"]
        return [self.client, self.version, self.model, self.run, *differences, *times]


HEADINGS = (
    "client",
    "version",
    "model",
    "run",
    "outputs differ by",
    "losses differ by",
    "torch ms",
    "ours ms",
    "ratio",
)


def measure(client: str, seconds: float, repeat: int) -> Row:
    """Build the client's model twice from the same seed, swap one, and run both.

    Args:
        client: what pip calls it.
        seconds, repeat: as `carrousel.bench.clock.medians` takes them.

    Raises:
        ImportError, OSError: it is not installed, or cannot be imported.
        RuntimeError: no layer of its model was replaced.
    """
    replaced: list[Layer] = []
    make = importlib.import_module(f"bench.client_models.with_{client.replace('-', '_')}").make
    swaps: list[Swap] = [lambda model: model, lambda model: replaced.extend(carrousel.swap(model).replaced)]
    both: list[Measured] = [seeded(lambda swap=swap: make(swap)) for swap in swaps]
    if not replaced:
        raise RuntimeError(f"{client}: no layer was replaced in {both[1].model}")
    differ = difference(*[one.outputs() for one in both])
    losses = [seeded(one.fit) for one in both]
    torch_ms, ours_ms = medians([one.fit for one in both], seconds, repeat)
    version = importlib.metadata.version(client)
    return Row(client, version, both[0].model, both[0].run, differ, abs(losses[0] - losses[1]), torch_ms, ours_ms)


def seeded(call: Callable[[], Any]) -> Any:
    """What it returns if random numbers begin anew."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - it is the clients that draw from it
    torch.manual_seed(0)
    return call()


def difference(theirs: torch.Tensor, ours: torch.Tensor) -> float:
    """The largest difference of two tensors."""
    return (theirs.double() - ours.double()).abs().max().item()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Neither logs, warnings nor progress of the clients."""
    logging.disable(logging.CRITICAL)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clients", nargs="*", default=CLIENTS, metavar="client", help=f"default: {' '.join(CLIENTS)}")
    parser.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads (default: 1)")
    parser.add_argument("--seconds", type=float, default=5, help="how long the two take turns at a fit (default: 5)")
    parser.add_argument("--repeat", type=int, default=5, help="turns that each takes at least (default: 5)")
    return parser.parse_args()


def main() -> None:
    """Print a line for each client that is installed, as soon as it has been measured."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.markdown:
        print("|", " | ".join(HEADINGS), "|")
        print("|" + "---|" * 4 + "--:|" * 5, flush=True)
    for client in options.clients:
        try:
            with silence():
                row = measure(client, options.seconds, options.repeat)
        except (ImportError, OSError) as error:
            print(f"{client} is left out: {error}", file=sys.stderr)
            continue
        cells = row.cells()
        line = f"| {' | '.join(cells)} |" if options.markdown else "; ".join(map(": ".join, zip(HEADINGS, cells)))
        print(line, flush=True)
    print(f"\n{describe_machine()}, {options.threads} thread{'s' * (options.threads > 1)}.")


if __name__ == "__main__":
    main()
