"""Papers run again: their experiments, and their tables beside our figures.

harness/   runs rows of tables, by any method, and reports them
lstm1997/  Hochreiter & Schmidhuber, "Long Short-Term Memory"
"""
