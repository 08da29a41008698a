"""TensorFlow Serving behind AWS's container, emulated: TensorFlow runs the SavedModel, the REST API is ours.

Every version that the folder holds is served; who names none gets the highest. `classify` and `regress`, labels and
gRPC are not emulated.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloudmodel.serving import tensorflow_rest as rest
from cloudmodel.serving.runtime.errors import RequestRefused
from cloudmodel.serving.runtime.machine import threads
from cloudmodel.serving.runtime.tensors import Spec
from cloudmodel.serving.service import Answer, Asked, failure, reason

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
PREDICT = "predict"

log = logging.getLogger(__name__)


class TensorFlowServing:
    """A model's versions."""

    most = 1

    def __init__(self, model_dir: Path, name: str) -> None:
        self._folder = model_dir / name
        self._name = name
        self._versions: dict[str, Any] = {}
        self._signatures: dict[str, Any] = {}
        model = rf"/v1/models/{re.escape(name)}(?:/versions/(?P<version>\d{{1,18}}))?"
        self._predicts = re.compile(rf"{model}:(?P<method>[a-z]+)")
        self._tells = re.compile(rf"{model}(?P<metadata>/metadata)?")

    def load(self) -> None:
        """Load every version and run each once on zeros; a guess of sizes that it refuses is no failure."""
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):  # TensorFlow has begun to run
            tf.config.threading.set_intra_op_parallelism_threads(threads())
        places = [path for path in self._folder.iterdir() if path.name.isdigit()]
        for place in sorted(places, key=lambda path: int(path.name)):
            self._versions[place.name] = tf.saved_model.load(str(place))
            self._signatures[place.name] = _signatures(place)
            with contextlib.suppress(Exception):
                self._warm(place.name)

    def refuse(self, method: str, path: str) -> Answer | None:
        """404 for what is no route, 405 for another method."""
        posts = path == "/invocations" or self._predicts.fullmatch(path)
        wanted = "POST" if posts else "GET" if self._tells.fullmatch(path) else None
        if wanted is None and path != "/ping":
            return failure(404, f"this server answers for the model {self._name!r}")
        return None if method == wanted else failure(405, f"{path} does not answer {method}")

    def answer(self, asked: Sequence[Asked]) -> Sequence[Answer]:
        """One after the other."""
        return [self._one(each) for each in asked]

    def _one(self, asked: Asked) -> Answer:
        try:
            if asked.method == "GET":
                return self._told(asked.path)
            if asked.path == "/invocations":
                return self._invoked(asked)
            found = self._predicts.fullmatch(asked.path)
            assert found is not None  # `refuse` has seen it
            return self._predicted(asked.body, found["method"], found["version"])
        except RequestRefused as error:
            return failure(error.status_code, str(error))
        except Exception as error:
            log.exception("prediction failed")
            return failure(500, reason(error))

    def _invoked(self, asked: Asked) -> Answer:
        """SageMaker's route: the model, its version and the method stand in the custom attributes."""
        chosen = dict(
            part.strip().split("=", 1) for part in asked.headers.get(ATTRIBUTES, "").split(",") if "=" in part
        )
        if chosen.get("tfs-model-name", self._name) != self._name:
            raise RequestRefused(f"Servable not found for request: Latest({chosen['tfs-model-name']})", 404)
        body = rest.from_container(asked.body, asked.headers.get("content-type", rest.JSON))
        return self._predicted(body, chosen.get("tfs-method", PREDICT), chosen.get("tfs-model-version"))

    def _predicted(self, body: bytes, method: str, version: str | None) -> Answer:
        if method != PREDICT:
            raise RequestRefused(f"{method} is not emulated here; ask with :{PREDICT}")
        request = rest.read(body)
        function = self._function(self._version(version), request.signature)
        outputs = _run(function, rest.arrays(request, _specs(function)))
        return Answer(200, rest.write(request, outputs))

    def _told(self, path: str) -> Answer:
        found = self._tells.fullmatch(path)
        assert found is not None
        if not found["metadata"]:
            versions = [self._version(found["version"])] if found["version"] else reversed(self._versions)
            okay = {"error_code": "OK", "error_message": ""}
            states = [{"version": each, "state": "AVAILABLE", "status": okay} for each in versions]
            return _json({"model_version_status": states})
        version = self._version(found["version"])
        spec = {"name": self._name, "signature_name": "", "version": version}
        signatures = {"signature_def": {"signature_def": self._signatures[version]}}
        return _json({"model_spec": spec, "metadata": signatures})

    def _version(self, version: str | None) -> str:
        if version is None:
            return next(reversed(self._versions))
        if version not in self._versions:
            raise RequestRefused(f"Servable not found for request: Specific({self._name}, {version})", 404)
        return version

    def _function(self, version: str, signature: str) -> Any:
        known = self._versions[version].signatures
        if signature not in known:
            raise RequestRefused(f"Serving signature name: {signature!r} not found; there are {', '.join(known)}")
        return known[signature]

    def _warm(self, version: str) -> None:
        function = self._function(version, rest.DEFAULT_SIGNATURE)
        zeros = {}
        for spec in _specs(function):
            shape = [size if isinstance(size, int) else 1 for size in spec.shape]
            zeros[spec.name] = np.full(shape, "", object) if spec.dtype == "str" else np.zeros(shape, spec.dtype)
        _run(function, zeros)


def _specs(function: Any) -> tuple[Spec, ...]:
    """A signature's inputs in our own words; a size that is open is a word."""
    specs = []
    for name, tensor in function.structured_input_signature[1].items():
        dtype = "str" if tensor.dtype.name == "string" else tensor.dtype.name
        sizes = tensor.shape.as_list()
        specs.append(
            Spec(name, dtype, tuple(f"{name}_{at}" if size is None else size for at, size in enumerate(sizes)))
        )
    return tuple(specs)


def _run(function: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Raises RequestRefused where TensorFlow says that the values are at fault."""
    import tensorflow as tf

    try:
        found = function(**{name: tf.constant(array) for name, array in inputs.items()})
    except tf.errors.InvalidArgumentError as error:
        raise RequestRefused(f"the model refuses these values: {str(error)[:500]}") from error
    return {name: np.asarray(tensor.numpy()) for name, tensor in sorted(found.items())}


def _signatures(place: Path) -> dict[str, Any]:
    """The signatures of a SavedModel as TensorFlow Serving tells of them: its own protobuf message in JSON."""
    from google.protobuf import json_format
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((place / "saved_model.pb").read_bytes())
    return {
        name: json_format.MessageToDict(signature, preserving_proto_field_name=True)
        for name, signature in saved.meta_graphs[0].signature_def.items()
    }


def _json(document: Any) -> Answer:
    return Answer(200, json.dumps(document, indent=1).encode())
