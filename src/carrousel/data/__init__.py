"""Data for the tasks: text that is read, numbered, and cut into batches; labelled sequences of any length.

text.py            the text of a file, or of stdin
stdlib.py          a text that is on every machine
vocabulary.py      a text as numbers: cleaning, vocabulary, split
batch_streams.py   a text that is read at many places at once
sequences.py       sequences of any length, and their labels
read_sequences.py  which reader reads which file
ts.py              the reader of .ts files
classes.py         labels as classes, and a split in which each class has its share
scaling.py         channels of mean 0 and deviation 1; missing values
examples.py        labelled sequences in padded batches, and shuffled without end
"""
