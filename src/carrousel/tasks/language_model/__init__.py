"""A language model: it predicts each next symbol of a text from all those before it. A symbol is a number.

model.py        the network for characters: one-hot or embedding, recurrent layers, linear
word_model.py   the network for words: embedding, recurrent layers, the embedding again
evaluate.py     how well a model predicts a text
held_out.py     what a model of words is measured on
baselines.py    what it is compared with: counted words, and counted pairs of words
word_scores.py  losses apart for each word, as perplexities
improved.py     the picture of the words that a model predicts better than counted pairs do
sample.py       symbols from a model, one at a time
"""
