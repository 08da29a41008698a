"""Techniques that rewrite the graph and keep its arithmetic: the same answers from fewer or faster nodes."""
