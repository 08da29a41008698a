"""The code that travels inside a bundle, as `code/cloudmodel_runtime/`.

It needs numpy and the model's own runtime only, runs on Python 3.10 and later, and answers the four functions that
AWS's containers call: `model_fn`, `input_fn`, `predict_fn`, `output_fn` (see `handlers`).
"""
