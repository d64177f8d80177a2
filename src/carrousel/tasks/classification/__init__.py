"""Classification of whole sequences, for tasks that read labelled sequences.

model.py      the network of tasks/pooled.py with a logit for each class
sources.py    examples from files, or from sequences in memory: numbered, split, scaled
held_out.py   what a model is measured on
evaluate.py   loss, accuracy and macro F1
baselines.py  what a model is compared with: the most frequent class, and the nearest neighbour
"""
