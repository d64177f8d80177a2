"""How cost grows with the sizes of a problem: `python -m bench scaling` writes docs/scaling.md and its pictures.

growth.py   figures along an axis, and the exponent at which they grow
measure.py  what is measured: the time of a layer, the memory of training, of streams and of online learning
endless.py  the memory of a stream and of an online learner, each side in a process of its own
page.py     the page
picture.py  its pictures
"""
