"""From a model to a faster or smaller one that still passes, proven, or to an honest "leave it as it is"."""
