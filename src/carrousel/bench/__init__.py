"""`carrousel bench`: is it faster here? Always measured together with torch.nn in one run.

arguments.py  the arguments of the commands; output.py: a bar, tables, JSON
shapes.py     what is measured, and what it should reach
clock.py      alternating samples, medians; numbers of threads
table.py      what tables are made of, in the terminal and in Markdown; the machine in a line
scanned.py    any layer in torch operations

layers.py     the layers, forward and with gradients
text.py       tokens a second of a character model
streaming.py  a step and a block of a stream
"""
