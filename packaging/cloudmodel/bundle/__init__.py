"""Bundles: a model with its serving code and a manifest in one reproducible archive, named by its digest."""
