"""Regression: numbers for a whole sequence. It has no command: no reader has numbers for labels; estimators train it.

task.py      the task: mean squared error of scaled targets, R2
targets.py   the scale of the targets
"""
