"""Where training data come from.

text.py     a text as numbers: reading, vocabulary, split
streams.py  a text read at many places at once
stdlib.py   a text that is on every machine
"""
