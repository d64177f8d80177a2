"""Forecasts of series, for tasks that read tables over even steps of time.

model.py        shift and scale of a window, recurrent layers over segments, direct heads for mean and quantiles
sources.py      windows from files: read, split by time, scaled
columns.py      the columns of a table that options name, and what a model needs of them
static.py       columns that describe a series, as numbers
sizes.py        season, horizon, window and segment, where options leave them open
rows.py         a range of rows: ":-48"
units.py        forecasts in the units of the data; the logarithm
windows.py      windows of series: where each starts, and their values
held_out.py     what a model is measured on
evaluate.py     all measurements of a model and its baselines
errors.py       sums of errors by series, and what is computed of them: MSE, MASE, NSE, KGE
baselines.py    what a model is compared with: the last value, and the last season
future.py       the steps after the end of each series
pictures.py     forecasts against the truth, and the error by horizon
"""
