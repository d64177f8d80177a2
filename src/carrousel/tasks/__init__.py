"""The tasks of `carrousel train`.

text.py      the character language model; evaluate.py: how well it predicts a text; sample.py: text from it
"""
