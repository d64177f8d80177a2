"""Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997: the experiments, run again.

The network and its learning rule are in carrousel.online.lstm1997, the harness that runs rows in papers.harness.

experiments/         one file each: data, network, learning rate, criterion and test, as rows
methods/             the methods that the paper compares, one file each
readings.py          names of the changes that make a reading
tables.py            the paper's figures
native_trials.py     many trials of one network in the compiled kernels; block_checks.py: checks of their data
document_opening.py  first paragraphs of docs/reproduction.md
"""
