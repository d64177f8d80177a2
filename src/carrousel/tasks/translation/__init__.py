"""Translation of texts, for the task on pairs of texts.

model.py      encoder, decoder, attention
beam.py       beam search for many sources side by side
translate.py  texts of any number and length, in groups
sources.py    pairs from files: read, split by source, cut into subwords
texts.py      texts to translate
held_out.py   what a model is measured on
evaluate.py   loss, chrF and BLEU
attention.py  the picture of where a translation looks
"""
