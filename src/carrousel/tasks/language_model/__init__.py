"""A language model: it predicts each next symbol of a text from all those before it. A symbol is a number.

model.py     one-hot or embedding, recurrent layers, linear
evaluate.py  how well a model predicts a text
sample.py    symbols from a model, one at a time
"""
