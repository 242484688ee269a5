"""Tuning the prompt of a model whose weights are elsewhere: which demonstrations it is shown."""
