"""`carrousel reproduce`: the paper's rows run again, our figures beside the paper's. The command: cli/reproduce.py.

choice.py    the rows that it names; listing.py: what --list prints
work.py      rows over the cores, what is done and what is left of an interrupted run
verdicts.py  rules that say whether a figure was reproduced
report.py    a row's figures, as JSON and as a table in the terminal
plots.py     learning curves, and the cells' states over a long sequence
document.py  docs/reproduction.md
"""
