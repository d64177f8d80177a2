"""A character language model: `carrousel train text`, `eval` and `sample`.

reading.py   the text of a file, or of stdin
text.py      a text as numbers: cleaning, vocabulary, split
stdlib.py    a text that is on every machine
streams.py   a text read at many places at once
model.py     one-hot or embedding, recurrent layers, linear
evaluate.py  how well a model predicts a text
train/       truncated backpropagation through time
trained.py   a model that was trained, read from its folder
sample.py    text from it
"""
