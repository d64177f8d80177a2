"""Tagging: a tag for each word of a sentence, or for each step of a sequence.

sentences.py   sentences as tensors, end to end; batches of them
words.py       sentences from files of words and their tags
lexicon.py     the words, characters and tags that a model knows
steps.py       sentences from .npz files: numbers instead of words
sources.py     what a run trains on and is validated on
model.py       embeddings of words and characters, recurrent layers in both directions, linear
crf.py         an output that knows which tag follows which: a conditional random field
evaluate.py    loss, accuracy, spans, and the baseline of the most frequent tag
spans.py       F1 over the spans that labels like B-PER and I-PER mark
"""
