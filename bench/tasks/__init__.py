"""What the default runs of all tasks reach on real data: `python -m bench tasks FOLDER` writes docs/tasks.md.

jobs.py     which task is trained on which file, for how long, and what others have published
splits.py   files to train and to test on, of data that come as one file
measure.py  the commands, run one after another
page.py     the page, from the results of all jobs that were ever run (docs/tasks.json)
"""
