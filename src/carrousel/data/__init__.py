"""Data for the tasks: text that is read, numbered, and cut into batches.

text.py           the text of a file, or of stdin
stdlib.py         a text that is on every machine
vocabulary.py     a text as numbers: cleaning, vocabulary, split
batch_streams.py  a text that is read at many places at once
"""
