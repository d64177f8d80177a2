"""Streams: sequences that arrive step by step, or block by block.

state.py   State: what a stream carries
packed_weights.py  a layer's weights, packed once for all its streams
layer.py   start, step and block
checks.py  what a stream refuses
"""
