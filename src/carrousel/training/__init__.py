"""Training by truncated backpropagation through time.

options.py   what a run is told
trainer.py   the model in training: step, measure, save, load
start.py     what a run starts from: folder, text, device
sizes.py     what it takes of memory
run.py       a run from its start, or from a checkpoint, to its end
curve.py     the losses so far, and their picture
progress.py  the bar in the terminal
interrupt.py Ctrl-C as a request
trained.py   a model that was trained, read from its folder
"""
