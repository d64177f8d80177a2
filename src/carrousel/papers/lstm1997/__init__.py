"""Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997: network, rule, experiments."""
