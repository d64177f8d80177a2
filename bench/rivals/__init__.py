"""Rivals: other ways to compute what a layer of ours computes, with its weights.

regularized.py     an LSTM or GRU with random masks in torch operations
layer_norm.py      LayerNormLSTM in torch operations
translator.py      the translator of train translate with torch.nn.LSTM
streaming_onnx.py  torch.nn.LSTM in ONNX Runtime
lstm1997_torch.py  the rule of 1997 in torch operations
lstm1997_jax.py    the same compiled by JAX
"""
