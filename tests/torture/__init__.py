"""Every task, treated as badly as machines and people do, for half an hour: `make torture`.

__main__.py     the command: which parts, how often, the counts
children.py     functions in forked processes with limits, which may crash
good_files.py   a small good file of each kind that a task reads, and the options to train on it
damage.py       what happens to files
findings.py     what is right, what is wrong, and the files that show it
kills.py        SIGKILL at random moments, and resumption bit for bit
files.py        damaged data files
checkpoints.py  damaged checkpoints, and files that are no checkpoints
disk.py         a disk that fills up at random writes
threads.py      ThreadSanitizer, and streams on many threads
test_short.py   a few of each
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))  # as pytest does, for `python -m tests.torture`
