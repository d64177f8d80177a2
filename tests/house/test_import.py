"""What `import carrousel` brings with it: little that torch has not imported already."""

from __future__ import annotations

import subprocess
import sys

IMPORTED = """
import sys, torch
before = set(sys.modules)
import carrousel
print(*{name.split(".")[0] if not name.startswith("torch") else name for name in set(sys.modules) - before})
"""


def test_nothing_of_torch_is_imported_for_programs_that_never_compile():
    """torch._dynamo alone takes longer than carrousel, and brings torch.distributed and sympy."""
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert "carrousel" in found
    assert not [name for name in found if name.startswith("torch")]
    assert not found & {"sympy", "matplotlib", "typer", "rich"}
