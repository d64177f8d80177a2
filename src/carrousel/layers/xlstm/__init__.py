"""The layers of xLSTM (Beck et al., 2024).

slstm.py  SLSTM: a scalar memory a unit, exponential gates
heads.py  units that are fed back to their own head only
mlstm/    MLSTM: a matrix of memory a head
"""
