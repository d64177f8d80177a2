"""Papers that are re-run: their networks, their tasks, and their tables beside ours.

lstm1997/  Hochreiter & Schmidhuber, "Long Short-Term Memory"
"""
