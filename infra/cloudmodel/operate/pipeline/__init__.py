"""What a Git host's pipeline needs of cloudmodel: its files, and the comment under a pull request."""
