"""The command line, one file a command.

program.py    the program: its commands in order, and how errors become exit codes
help.py       the end of every help text: exit codes and examples
train.py      carrousel train
predict.py    carrousel predict
eval.py       carrousel eval
sample.py     carrousel sample
reproduce.py  carrousel reproduce
bench.py      carrousel bench
"""

from carrousel.cli.program import main, run

__all__ = ["main", "run"]
