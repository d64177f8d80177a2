"""The first paragraphs of docs/reproduction.md, which `carrousel reproduce --all --markdown` writes."""

OPENING = """# The 1997 paper, run again

Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8):1735-1780, 1997: the LSTM rows of its
tables, ours / the paper's. Written by `carrousel reproduce --all --markdown docs/reproduction.md`.
`carrousel reproduce --list` lists the experiments, and `carrousel reproduce --list adding` the rows and readings of one
experiment; `carrousel reproduce --row 4-1 --reading linear-output` runs one row in one reading.

No setting of the literal readings was tuned. Data, network, learning rate, criterion, test and number of trials are the
paper's; the text below each table says what was done where the paper leaves something open. Where the literal reading
fails, we looked for other readings; the text below the table describes each of them. A trial fails if it has not
succeeded after five times the paper's mean number of sequences, unless the reading names another number. The tables
list every row, the literal readings first.
"""
