"""Libraries that only some readers need: imported when used; a missing one is named with the command for it."""

from __future__ import annotations

import importlib
from typing import Any

from carrousel.errors import UserError


def load_library(module: str, purpose: str, extra: str = "tasks") -> Any:
    """Import a module of an extra.

    Args:
        module: its full name, "pyarrow.csv".
        purpose: what needs it: the subject of the error message.
        extra: of which it is a part.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
        raise UserError(f"{purpose} needs {name}, which {reason}: pip install 'carrousel[{extra}]'") from None
