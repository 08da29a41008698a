"""PyTorch: modules from a factory, their weights, and their export to ONNX."""
