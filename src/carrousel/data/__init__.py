"""Data for the tasks: text that is read, numbered, and cut into batches; sequences and series from files.

text.py           the text of a file, or of stdin
stdlib.py         a text that is on every machine
vocabulary.py     a text as numbers: cleaning, vocabulary, split
batch_streams.py  a text that is read at many places at once

lines.py          the lines of a file, one after another
tagged.py         sentences with a tag for each word: CoNLL-U and other columns
npz.py            sequences from a .npz file
npz_file.py       the arrays of a .npz file, checked before they are loaded
pairs.py          pairs of texts, split by their source
words.py          a text as numbers of words, read in one pass
sounds.py         a folder of WAV files as sequences
log_mel.py        sound as energies in bands
sequences.py      sequences of any length, as the readers return them
tables/           CSV and Parquet
series.py         series for forecasting
steps.py          the even step of a series: found, read, described
resampling.py     rows at uneven times as means over even steps
long_form.py      sequences from a table with a row for each step
libraries.py      libraries that only some readers need
growing_array.py  an array that grows without a second copy
"""
