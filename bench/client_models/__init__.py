"""One client library a file: a function `make(swap)` that builds its recurrent model around small data.

measured.py   what such a function returns, and the data that they share
with_*.py     the clients; bench/clients.py lists them
"""
