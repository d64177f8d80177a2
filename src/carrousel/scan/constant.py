"""Mark functions of plain Python numbers that torch.compile calls instead of tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


# torch.compiler.assume_constant_result does the same, but imports torch._dynamo: three quarters of the time that
# `import carrousel` took, and 70 MB, in programs that never compile.
def mark_constant(function: Function) -> Function:
    """Let torch.compile call the function while it traces, and treat the result as a constant."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
