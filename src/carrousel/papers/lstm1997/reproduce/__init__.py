"""`carrousel reproduce`: the paper's rows run again, our figures beside the paper's.

command.py   the command line
"""
