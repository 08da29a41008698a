"""Models that TensorFlow runs: Keras' files and SavedModel folders."""
