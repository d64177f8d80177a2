"""What `import carrousel` brings with it: little that torch has not imported already; in the command, nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import carrousel

HEAVY = {"torch", "numpy", "sympy", "matplotlib", "rich", "typer"}
OF_TORCH = """
import sys, torch
before = set(sys.modules)
import carrousel
print(*{name.split(".")[0] if not name.startswith("torch") else name for name in set(sys.modules) - before})
"""


def imported(program: str) -> set[str]:
    """What a program prints, in words."""
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def test_in_the_command_nothing_is_imported_before_it_is_used():
    found = imported("import sys; sys.argv[0] = 'carrousel'; import carrousel; print(*sys.modules)")
    assert "carrousel.ctrl_c" in found
    assert not found & HEAVY
    assert "carrousel.layers" not in found


def test_in_the_command_everything_that_is_offered_is_there():
    program = (
        "import sys; sys.argv[0] = 'carrousel'; import carrousel; print(*dir(carrousel), carrousel.cells.__name__);"
    )
    every = program + "[getattr(carrousel, name) for name in carrousel.__all__]; print(callable(carrousel.swap))"
    assert imported(every) >= {*carrousel.__all__, "carrousel.cells", "True"}


def test_a_library_has_its_operators():
    """What was traced or exported is loaded after `import carrousel`."""
    assert imported("import torch, carrousel; print(torch.ops.carrousel.sequence)")


def test_nothing_of_torch_is_imported_for_programs_that_never_compile():
    """torch._dynamo alone takes longer than carrousel, and brings torch.distributed and sympy."""
    found = imported(OF_TORCH)
    assert "carrousel" in found
    assert not [name for name in found if name.startswith("torch")]
    assert not found & {"sympy", "matplotlib", "typer", "rich"}


def test_everything_that_is_offered_is_there():
    for name in carrousel.__all__:
        assert getattr(carrousel, name) is not None
        assert name in dir(carrousel)


def test_functions_are_not_hidden_by_modules_of_their_name():
    program = "import carrousel.swapping, carrousel; print(callable(carrousel.swap), callable(carrousel.swap_back))"
    assert imported(program) == {"True"}


@pytest.mark.parametrize("name", ["lstm", "LSTMs", "layer", "__wrapped__", "_private"])
def test_what_is_not_there_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'carrousel' has no attribute '{name}'"):
        getattr(carrousel, name)
    assert not hasattr(carrousel, name)
