"""A project's and a stack's settings: read, checked and typed before anything runs."""
