"""Learning online: one network on one stream, a step at a time, in memory that does not grow.

learner.py     Learner: predict_one, learn_one, learn_many, reset, save, load
lstm1997/      the network of 1997 and its truncated learning rule
checks.py      argument checks: arrays of the right shape, type and range
exclusive.py   objects that only one thread at a time may use
"""

from carrousel.online.learner import Learner
from carrousel.online.lstm1997.network import Network

__all__ = ["Learner", "Network"]
