"""`carrousel reproduce`: the paper's rows run again, and told beside the paper's figures.

command.py   the command line
work.py      rows over the cores, what is done and what is left of an interrupted run
verdicts.py  rules that say whether a figure was reproduced
report.py    a row's figures, as JSON and as a table in the terminal
plots.py     learning curves, and the cells' states over a long sequence
document.py  docs/reproduction.md
"""
