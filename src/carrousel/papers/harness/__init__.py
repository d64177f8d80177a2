"""The harness: runs the rows of a paper's tables again, by any method, and reports our figures beside the paper's.

It knows no paper and no method: both are handed in.

paper_row.py       a row: an experiment and the method that learns it; an experiment: its rows
readings.py        names of readings: how a row differs from the paper's letter
method.py          what a method does: begin, train, evaluate, outputs
one_network.py     a method made of networks that learn one sequence at a time
sequences.py       a block of sequences
random_streams.py  random numbers, independent for each purpose of each trial
criteria.py        when a trial has succeeded; stop.py: the criterion that is judged after each sequence
trials.py          trials of rows, until success or the cap
run_all.py         rows on all cores; finished_trials.py: the file from which an interrupted run continues
verdicts.py        rules that decide whether a figure is reproduced
report.py          a row's figures, as JSON and as a table for the terminal
document.py        the report as Markdown
plots.py           learning curves, and a trained network's states over a sequence
choice.py          the rows that a command line names
listing.py         lists of experiments, rows and readings
reproduction.py    a run from the command line: bar, reports and plots
"""
