"""Techniques that compute with, or keep weights in, 8 or 4 bits instead of 32."""
