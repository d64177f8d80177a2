"""The tasks of `carrousel train`, one file each: data, model, loss and metric. They are found, and never listed.

files.py         options of tasks that read files
network.py       options of tasks with recurrent layers, and the layers
pooled.py        a network with one output for a whole sequence
confusion.py     the picture of which classes are taken for which
language_model/  a model that predicts the next symbol of a text, for tasks on text
classification/  a class for each sequence
tagging/         a tag for each word, or for each step of a sequence
forecasting/     windows, model and measurements, for tasks on series
translation/     encoder, decoder and attention, for tasks on pairs of texts
regression/      numbers for whole sequences; no command, for carrousel.estimators
"""

import importlib
import pkgutil

from carrousel.training.task import Task


def discover() -> dict[str, Task]:
    """Every task at the top level of a module of this package, by name, in the order of the modules' names."""
    found: dict[str, Task] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for task in vars(importlib.import_module(f"{__name__}.{module}")).values():
            if not isinstance(task, Task):
                continue
            if found.setdefault(task.name, task) is not task:
                raise ValueError(f"two tasks are named {task.name!r}, one of them in {module}.py: rename one")
    return found


ALL = discover()
