"""Pruning: channels, single weights, trees."""
