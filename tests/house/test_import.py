"""What `import carrousel` brings with it: nothing that takes time, until it is used."""

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
carrousel.LSTM
print(*{name.split(".")[0] if not name.startswith("torch") else name for name in set(sys.modules) - before})
"""


def imported(program: str) -> set[str]:
    """What a program prints, in words."""
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def test_nothing_is_imported_before_it_is_used():
    found = imported("import sys, carrousel; print(*sys.modules)")
    assert "carrousel.ctrl_c" in found
    assert not found & HEAVY
    assert "carrousel.layers" not in found


def test_nothing_of_torch_is_imported_for_programs_that_never_compile():
    """torch._dynamo alone takes longer than carrousel, and brings torch.distributed and sympy."""
    found = imported(OF_TORCH)
    assert "carrousel" in found
    assert not [name for name in found if name.startswith("torch")]
    assert not found & HEAVY


def test_everything_that_is_offered_is_there():
    for name in carrousel.__all__:
        assert getattr(carrousel, name) is not None
        assert name in dir(carrousel)


def test_functions_are_not_hidden_by_modules_of_their_name():
    program = "import carrousel.swapping, carrousel; print(callable(carrousel.swap), callable(carrousel.swap_back))"
    assert imported(program) == {"True"}


def test_modules_are_attributes():
    assert imported(
        "import carrousel; print(carrousel.errors.UserError.__name__, carrousel.online.Learner.__name__)"
    ) == {
        "UserError",
        "Learner",
    }


@pytest.mark.parametrize("name", ["lstm", "LSTMs", "layer", "__wrapped__", "_private"])
def test_what_is_not_there_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'carrousel' has no attribute '{name}'"):
        getattr(carrousel, name)
    assert not hasattr(carrousel, name)
