"""Classification of whole sequences, for tasks that read labelled sequences.

model.py      recurrent layers in one or both directions, pooling over time, linear
sources.py    examples from files: read, numbered, split, scaled
held_out.py   what a model is measured on
evaluate.py   loss, accuracy and macro F1
baselines.py  what a model is compared with: the most frequent class, and the nearest neighbour
"""
