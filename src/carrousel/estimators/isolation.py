"""Training that leaves torch's global state as it was, and depends on none of it; errors that name parameters."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from carrousel.errors import UserError

LOCK = threading.RLock()
IS_FORKED = False


def note_fork() -> None:
    """Give a child process a lock of its own: the thread that held the parent's does not exist there."""
    global LOCK, IS_FORKED
    LOCK, IS_FORKED = threading.RLock(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=note_fork)


@contextmanager
def limit_threads() -> Iterator[None]:
    """Compute with one thread in a process that was forked: torch would wait for threads that only the parent has."""
    threads = torch.get_num_threads()
    if not IS_FORKED or threads == 1:
        yield
        return
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def isolate_training(device: torch.device) -> Iterator[None]:
    """Train with gradients and in float32, and restore the random generators at the end.

    Dropout has no generator of its own: it reads torch's, which all threads share. So one fit at a time trains in a
    process, or the weights would depend on what other threads do.

    Args:
        device: where to train; its generator is restored too.
    """
    dtype = torch.get_default_dtype()
    is_cuda = device.type == "cuda"
    with LOCK, torch.random.fork_rng([device] if is_cuda else []), torch.inference_mode(False), torch.enable_grad():
        try:
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextmanager
def name_parameters() -> Iterator[None]:
    """Turn a UserError, which names options of the command line, into a ValueError that names parameters."""
    try:
        yield
    except UserError as error:
        raise ValueError(rename_options(str(error))) from None


def rename_options(text: str) -> str:
    """A message with the names of parameters for those of options: valid_fraction for --valid-fraction."""
    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_"), text)
