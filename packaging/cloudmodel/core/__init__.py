"""What every other package stands on: errors, files, names, progress, the words of resources."""
