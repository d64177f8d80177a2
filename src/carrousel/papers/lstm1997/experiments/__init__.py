"""The paper's experiments: the data of each, one file an experiment, in the paper's order and symbols."""
