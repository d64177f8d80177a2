# %% [markdown]
"""
# Online learning: a stream that never ends, and changes

A `Learner` learns from each step as it comes, by the truncated rule of 1997, in memory that does not grow:
`predict_one(x)` changes nothing, `learn_one(x, y)` updates state and weights. Here it listens to a tune that repeats
for ever and predicts the next note. One note alone is not enough: after a *d* come *d* or *c*. Then another tune
begins.

    python examples/online_learning.py

`examples/forecast.py` predicts a series of numbers from a CSV file.
"""

# %%
import copy
import tempfile
from itertools import cycle, islice, pairwise
from pathlib import Path

import numpy as np

from carrousel.online import Learner, Network

NOTES = "cdefga"
TUNES = {"twinkle, twinkle": "ccggaagffeeddc", "mary had a lamb": "edcdeeedddegg"}
STEPS = 30_000  # notes of each tune

# %% [markdown]
"""
Twelve memory cells, each with an input and an output gate; an input and an output for each note:
"""

# %%
network = Network(inputs=6, outputs=6, blocks=12, biased="all")
learner = Learner(network, rate=0.1, seed=0, error="entropy")
for name, tune in TUNES.items():
    frozen = copy.deepcopy(learner)  # goes on listening, but learns no more
    right = {"learning": [], "frozen": []}
    print(f"{name}: {tune} ...")
    notes = map(NOTES.index, islice(cycle(tune), STEPS + 1))
    for step, (now, then) in enumerate(pairwise(notes), 1):
        right["learning"].append(learner.learn_one(now, then).argmax() == then)  # what it said before it learned
        right["frozen"].append(frozen.learn_one(now).argmax() == then)  # a step without a target: nothing is learned
        if step % 10_000 == 0:
            shares = ", ".join(f"{who} {np.mean(values[-10_000:]):.0%}" for who, values in right.items())
            print(f"  {step:,} notes; predicted right: {shares}")

# %% [markdown]
"""
A prediction commits nothing, so that it can be asked for at any time. A learner is saved at any step, and goes on
from there bit for bit:
"""

# %%
outputs = learner.predict_one(NOTES.index("e"))
print("outputs after e:", ", ".join(f"{note} {output:.2f}" for note, output in zip(NOTES, outputs)))
with tempfile.TemporaryDirectory() as folder:
    learner.save(Path(folder, "learner.safetensors"))
    again = Learner.load(Path(folder, "learner.safetensors"))
same = all(np.array_equal(learner.learn_one(note, note), again.learn_one(note, note)) for note in range(6))
print("saved, loaded, the same bits:", same)
