"""Others' ways to compute what a layer of ours computes, with its weights: what the measurements compare it with."""
