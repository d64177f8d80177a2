"""The script that the build runs: one header for each cell, or for those that are named, and all.hpp, in a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

if not __package__:
    # `carrousel` becomes a bare namespace, since its __init__ imports torch. The script's own folder leaves the path,
    # where modules of ours would hide others of the same name.
    here: Path = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    sys.modules["carrousel"] = ModuleType("carrousel")
    sys.modules["carrousel"].__path__ = [str(here.parent)]

from carrousel.cells import ALL
from carrousel.codegen import write

if __name__ == "__main__":
    if len(sys.argv) < 2 or not ALL.keys() >= {*sys.argv[2:]}:
        sys.exit(f"usage: python src/carrousel/codegen OUT_DIR [CELL]...\ncells: {' '.join(ALL)}")
    write(Path(sys.argv[1]), [ALL[name] for name in sys.argv[2:] or ALL])
