"""The device to train on, by its name."""

from __future__ import annotations

import torch

from carrousel.errors import UserError


def find_device(name: str) -> torch.device:
    """The device with a name; `auto` is a GPU if there is one.

    Raises:
        UserError: there is no such device.
    """
    try:
        found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError) as error:  # a torch built without CUDA asserts
        reason = str(error).splitlines()[0].partition(". ")[0]  # what follows lists all that torch has
        raise UserError(f"--device {name} cannot be used ({reason}): try cpu") from None
    return found
