"""Models as their own libraries write them: `python honest_models.py FOLDER` fills a folder, each kind in its turn.

A program of its own, because torch and tensorflow in one test process are a gigabyte that no other test wants.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}


def torch_files(folder: Path) -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.body(image)
            return answer

    net, image = Net().eval(), torch.zeros(2, 1, 8, 8)
    optimizer = torch.optim.AdamW(net.parameters())
    net(image).sum().backward()
    optimizer.step()
    torch.save(net.state_dict(), folder / "state.pt")
    torch.save(net.state_dict(), folder / "state-before-1.6.pth", _use_new_zipfile_serialization=False)
    torch.save(nn.LSTM(3, 4).state_dict(), folder / "lstm.bin")
    torch.save(nn.TransformerEncoderLayer(8, 2).state_dict(), folder / "transformer.pth")
    torch.save({key: each.half() for key, each in net.state_dict().items()}, folder / "half.pt")
    torch.save({key: each.bfloat16() for key, each in net.state_dict().items()}, folder / "bfloat16.ckpt")
    torch.save(
        {"epoch": 3, "model": net.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state(),
         "shape": torch.Size([1, 8, 8]), "dtype": torch.float32, "device": torch.device("cpu")},
        folder / "checkpoint.pt",
    )  # fmt: skip
    torch.save([torch.eye(3), torch.arange(4), torch.tensor(True), torch.zeros(2, dtype=torch.complex64)], folder / "t")
    torch.save(torch.eye(3).to_sparse(), folder / "sparse.pt")
    torch.save(nn.Parameter(torch.zeros(2)), folder / "parameter.pt")
    torch.jit.save(torch.jit.script(net), folder / "script.pt")
    torch.jit.save(torch.jit.trace(net, image), folder / "trace.jit")
    torch.export.save(torch.export.export(net, (image,)), folder / "exported.pt2")


def safetensors_files(folder: Path) -> None:
    from safetensors.numpy import save_file

    weights = {"a.weight": np.ones((3, 4), dtype=np.float32), "a.bias": np.zeros(3, dtype=np.float16)}
    save_file(weights, folder / "single.safetensors", metadata={"format": "pt"})
    for part in ("1", "2"):
        save_file({part: np.arange(9, dtype=np.int64)}, folder / f"model-0000{part}-of-00002.safetensors")
    save_file({"empty": np.zeros((0, 2), dtype=np.float64)}, folder / "empty.safetensors")


def keras_files(folder: Path) -> None:
    keras: Any = importlib.import_module("keras")
    tf: Any = importlib.import_module("tensorflow")

    layers = keras.layers
    image = keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.BatchNormalization(),
                              layers.Activation("gelu"), layers.Flatten(), layers.Dropout(0.1),
                              layers.Dense(3, activation="softmax", kernel_regularizer="l2")])  # fmt: skip
    image.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    image.fit(np.zeros((4, 8, 8, 1)), np.zeros(4), verbose=0)
    words = keras.Input((5,), dtype="int64")
    hidden = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Embedding(9, 4)(words))
    hidden = layers.MultiHeadAttention(2, 2)(hidden, hidden) + layers.LayerNormalization()(hidden)
    text = keras.Model(words, layers.Dense(1, "sigmoid")(layers.GlobalAveragePooling1D()(hidden)))
    for name, model in (("image", image), ("text", text)):
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        model.save_weights(folder / f"{name}.weights.h5")
        model.export(str(folder / f"{name}-savedmodel"), verbose=False)

    class Doubles(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return {"y": 2 * x}

    tf.saved_model.save(Doubles(), str(folder / "plain-savedmodel"))
    (folder.parent.parent / "operations.json").write_text(json.dumps(tensorflow_operations()))


def tensorflow_operations() -> dict[str, list[str]]:
    """Every operation of TensorFlow's registry, with the names of what it is given."""
    op_def_pb2: Any = importlib.import_module("tensorflow.core.framework.op_def_pb2")
    pywrap_tf_session: Any = importlib.import_module("tensorflow.python.client.pywrap_tf_session")
    listed = op_def_pb2.OpList()
    listed.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {each.name: [part.name for part in (*each.input_arg, *each.attr)] for each in listed.op}


def onnx_files(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((64, 64), dtype=np.float32), "w")
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 64]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [inputs], [outputs], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    onnx.save(model, folder / "model.onnx")
    where = folder / "external"
    where.mkdir()
    onnx.save(model, where / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=16)


def table_files(folder: Path) -> None:
    import h5py
    import joblib
    import skops.io
    from sklearn import compose, datasets, ensemble, linear_model, pipeline, preprocessing

    x, y = datasets.load_iris(return_X_y=True)
    scaled = compose.ColumnTransformer([("scale", preprocessing.StandardScaler(), [0, 1, 2])], remainder="passthrough")
    model = pipeline.make_pipeline(scaled, linear_model.LogisticRegression(max_iter=500)).fit(x, y)
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(x, y)
    for method in (0, "zlib", "gzip", "bz2", "lzma", "xz"):
        joblib.dump({"model": model, "labels": ["a", "b"]}, folder / f"pipeline-{method}.joblib", compress=method)
    joblib.dump(forest, folder / "forest.joblib", compress=("zlib", 9))
    skops.io.dump(model, folder / "pipeline.skops")
    np.save(folder / "array.npy", np.arange(9.0))
    np.savez(folder / "arrays.npz", a=np.eye(3), b=np.array(["x"]))
    np.savez_compressed(folder / "compressed.npz", a=np.eye(3, dtype=np.float16))
    with h5py.File(folder / "weights.hdf5", "w") as file:
        file.create_dataset("layer/kernel", data=np.eye(3), compression="gzip", chunks=True)
        file.attrs["names"] = ["a", "b"]


KINDS = {
    "torch": torch_files,
    "safetensors": safetensors_files,
    "keras": keras_files,
    "onnx": onnx_files,
    "table": table_files,
}
"""What writes each kind."""

if __name__ == "__main__":
    for name, write in KINDS.items():
        place = Path(sys.argv[1]) / "models" / name
        place.mkdir(parents=True)
        write(place)
