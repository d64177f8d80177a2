"""The command line: `carrousel train`, `sample`, `eval`, `reproduce`, `bench`.

program.py    the program: its commands, and how errors become exit codes
reproduce.py  carrousel reproduce
bench.py      carrousel bench
"""

from carrousel.cli.program import main, run

__all__ = ["main", "run"]
