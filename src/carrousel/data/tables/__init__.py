"""Tables in CSV and Parquet files: read in blocks, never twice in memory; a bad cell is named with its place.

open_table.py    opens a file of either format
table.py         a table: columns by name, blocks of rows
csv_dialect.py   what a CSV file looks like: compression, encoding, delimiter, header
csv_file.py      a table in a CSV file
csv_errors.py    the line, column and value that cannot be read
parquet_file.py  a table in a Parquet file
columns.py       columns of a table as arrays: numbers, texts, times
find_time.py     finds the column of times
grouped_rows.py  rows of the same id, sorted by time
times.py         a column of times, read block by block
date_formats.py  the ways of writing a date that are recognised
"""
