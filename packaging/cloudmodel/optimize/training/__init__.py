"""PyTorch as the training techniques use it: a model from its source, a training loop, an export. Needs the extra
`torch`; only `needs` may be imported without it."""
