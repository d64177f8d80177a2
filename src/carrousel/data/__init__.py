"""Data for the tasks: texts, sequences and series from files; numbered, scaled, and cut into batches.

text.py            the text of a file, or of stdin
pieces.py          the same in pieces, for texts that are larger than memory should be
stdlib.py          a text that is on every machine
vocabulary.py      a text as numbers: cleaning, vocabulary, split
batch_streams.py   a text that is read at many places at once
words.py           a text as numbers of words, read in one pass
pairs.py           pairs of texts, split by their source
subwords.py        a vocabulary of subwords, by sentencepiece
symbol_pairs.py    pairs of texts as numbers, in batches of about equal lengths
tagged.py          sentences with a tag for each word: CoNLL-U and other columns
lines.py           the lines of a file, one after another

sequences.py       sequences of any length, and their labels
read_sequences.py  which reader reads which file
ts.py              the reader of .ts files
long_form.py       of tables with a row for each step
npz.py             of .npz files; npz_file.py: their arrays, checked before they are loaded
sounds.py          of folders of WAV files; log_mel.py: sound as energies in bands
classes.py         labels as classes, and a split in which each class has its share
scaling.py         channels of mean 0 and deviation 1; missing values
examples.py        labelled sequences in padded batches, and shuffled without end
buckets.py         batches of sequences that are about as long

tables/            CSV and Parquet
series.py          series for forecasting
steps.py           the even step of a series: found, read, described
resampling.py      rows at uneven times as means over even steps
growing_array.py   an array that grows without a second copy
libraries.py       libraries that only some readers need
"""
