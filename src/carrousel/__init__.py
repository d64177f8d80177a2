"""Carrousel: recurrent networks whose cells are written once, as equations.

cells/            the equations, one paper a file
scan/             any cell over a sequence in torch operations: the specification
codegen/          a cell's C++, forward and backward, from its equations
fused/            any cell over a sequence by its kernel
layers/           LSTM, GRU, RNN and the layers that torch has not; Recurrent, State
output_layer.py   linear_cross_entropy: the output layer of a language model and its loss in one
custom_cell/      carrousel.cell: a layer of your own function; odyssey.py: eight that were made by it
swapping.py       our layers in the place of torch.nn's in any model, and back; swap_report.py: what was replaced

online/           Learner: predict_one, learn_one
data/             reading text, batches
training/         the training loop: knows no task
tasks/            what carrousel train, sample and eval work on, one file a task
estimators/       scikit-learn estimators over the tasks; imported only on request
papers/           carrousel reproduce
bench/            carrousel bench
cli/              the command line, one file a command
checkpoint.py     files that are whole or not there, in the format of tensor_file.py
results.py        where the results of a command go
memory.py         how much memory there is, and one line where there is too little
ctrl_c.py         Ctrl-C before and after a command's work
errors.py         exceptions and warnings
"""

from carrousel import ctrl_c as ctrl_c  # first: torch takes a second, in which Ctrl-C would print a traceback

# isort: split
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or not ctrl_c.IS_COMMAND:  # the command imports what it needs, so that its help takes no second
    from carrousel import odyssey
    from carrousel.custom_cell import cell
    from carrousel.errors import NoKernelWarning
    from carrousel.layers import (
        GRU,
        LSTM,
        LSTM1997,
        MLSTM,
        RNN,
        SLSTM,
        CoupledLSTM,
        LayerNormLSTM,
        MinGRU,
        MinLSTM,
        PeepholeLSTM,
        Recurrent,
        State,
    )
    from carrousel.output_layer import linear_cross_entropy
    from carrousel.swapping import swap, swap_back

__all__ = [
    "GRU",
    "LSTM",
    "LSTM1997",
    "MLSTM",
    "RNN",
    "SLSTM",
    "CoupledLSTM",
    "LayerNormLSTM",
    "MinGRU",
    "MinLSTM",
    "NoKernelWarning",
    "PeepholeLSTM",
    "Recurrent",
    "State",
    "cell",
    "linear_cross_entropy",
    "odyssey",
    "swap",
    "swap_back",
]

HOMES = {  # where the names above are, if not in carrousel.layers
    "NoKernelWarning": "errors",
    "cell": "custom_cell",
    "linear_cross_entropy": "output_layer",
    "swap": "swapping",
    "swap_back": "swapping",
}

try:
    __version__ = version("carrousel")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    """For the command `carrousel`: what the package offers, or one of its modules, imported when it is first used."""
    if name in __all__ and name != "odyssey":
        value = getattr(import_module(f"{__name__}.{HOMES.get(name, 'layers')}"), name)
        globals()[name] = value
        return value
    missing = f"module {__name__!r} has no attribute {name!r}"
    if name.startswith("_"):
        raise AttributeError(missing)
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":  # a library that the module needs
            raise
        raise AttributeError(missing) from None


def __dir__() -> list[str]:
    """What the package offers, imported or not."""
    return sorted({*globals(), *__all__})
