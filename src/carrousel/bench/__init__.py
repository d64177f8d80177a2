"""`carrousel bench`: is it faster here? Ours and torch.nn's are always measured together, in one run.

measurement.py  a measurement; tables, Markdown and JSON of many
clock.py        turns and medians; numbers of threads
shapes.py       the shapes that are measured, and the ratio that each should reach
arguments.py    arguments of the commands
output.py       a bar, then the results
scanned.py      any layer in torch operations

layers.py       the layers, forward and with gradients
streaming.py    a step and a block of a stream
text.py         characters a second of training
"""
