"""Training, for every task: the loop, the clock, checkpoints and exact resume; it knows nothing of a task's data.

task.py       what the loop asks of a task: data, model, loss, metric
options.py    the options of a run: declared once, for the command line, the checks and the memory estimate
loop.py       steps until an end: the clock, the curve, validations
run.py        the loop with a folder: from its start, or from a checkpoint, to its end
in_memory.py  the loop without files, which leaves the best weights in memory
trainer.py    the model in training: a step, a measurement, everything that changes
ranks.py      a run in several processes, on one machine or on many
fit.py        whether the tensors of a checkpoint are those that a trainer needs
trained.py    a trained model, read from the folder of its run
curve.py      the learning curve, and its picture
picture.py    a figure as the content of a PNG file
progress.py   the bar in the terminal
interrupt.py  signals that stop a run
ranks.py      a run in several processes, on one machine or on many
folder.py     the folder of a run, locked
sizes.py      how much memory a run takes
device.py     a device by its name
"""
