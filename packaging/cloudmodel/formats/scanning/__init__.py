"""A look into model files and everything inside them, without loading any of it."""
