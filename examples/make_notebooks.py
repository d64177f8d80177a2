"""Make the notebooks beside the examples from their scripts, and execute them: `make notebooks`.

A script is the one text: its cells begin with `# %%` (jupytext's percent format). What identifies a run (times,
random cell names) is left out, so that a notebook changes only when its script or its results do.
"""

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def make_notebook(script: Path) -> None:
    """examples/NAME.py -> examples/NAME.ipynb, executed."""
    notebook = jupytext.read(script)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": HERE}}).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"cell-{number}"
    nbformat.write(notebook, script.with_suffix(".ipynb"))


if __name__ == "__main__":
    names = [Path(name) for name in sys.argv[1:]]
    for script in names or sorted(HERE.glob("*.py")):
        if "\n# %%" in script.read_text(encoding="utf-8"):
            print(f"{script.name} -> {script.stem}.ipynb", flush=True)
            make_notebook(script)
