"""The command line, one file a command.

program.py    the program: its commands in order, and how errors become exit codes
help.py       the end of every help text: exit codes and examples
train.py      carrousel train
sample.py     carrousel sample
eval.py       carrousel eval
reproduce.py  carrousel reproduce
bench.py      carrousel bench
"""

from carrousel.cli.program import main, run

__all__ = ["main", "run"]
