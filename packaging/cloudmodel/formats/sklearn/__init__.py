"""scikit-learn: fitted estimators, how they are asked, and their export to ONNX."""
