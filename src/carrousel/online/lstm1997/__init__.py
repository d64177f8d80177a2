"""The network of 1997 and its truncated learning rule (Hochreiter & Schmidhuber 1997, appendix A.1).

network.py     the network as the paper describes it, and its weights
reference.py   network and rule in float64 NumPy, one equation at a time: the specification
rule.py        settings of the learning rule
engine.py      what a Learner calls, step by step, and which implementation it gets
plain.py       engine on the reference
compiled.py    engine on the compiled kernels: the only file that handles addresses
"""
