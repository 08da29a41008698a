"""AWS's own inference toolkits from PyPI, which run a bundle's `code/inference.py` as AWS's containers run it.

`code/` is on PYTHONPATH, the handler service is initialized with the model's folder, each request is handed over with
its headers, and cloudmodel cannot be imported. Made up for the Hugging Face toolkit are `mms.service`, which its image
has, and three names that it imports from older libraries, and uses for downloads, TensorFlow and dialogues only.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

INFERENCE = "sagemaker_inference.default_handler_service:DefaultHandlerService"
PYTORCH = "sagemaker_pytorch_serving_container.handler_service:HandlerService"
HUGGINGFACE = "sagemaker_huggingface_inference_toolkit.handler_service:HuggingFaceHandlerService"

CONTAINER = """
import importlib.machinery, pickle, sys, types
service, model_dir, requests, answers, *hidden = sys.argv[1:]
absent = ("cloudmodel", "onnx", "pydantic", *hidden)
find = importlib.machinery.PathFinder.find_spec
def find_what_a_container_has(name, path=None, target=None):
    if path is None and name in absent:
        path = [place for place in sys.path if place.startswith(model_dir)]
    return find(name, path, target)
importlib.machinery.PathFinder.find_spec = staticmethod(find_what_a_container_has)
module, name = service.split(":")
class PredictionException(Exception):
    def __init__(self, message, error_code=500):
        super().__init__(message)
        self.message, self.error_code = message, error_code
if "huggingface" in module:
    for made_up in ("mms", "mms.service"):
        sys.modules[made_up] = types.ModuleType(made_up)
    sys.modules["mms.service"].PredictionException = PredictionException
    import huggingface_hub.file_download, transformers.file_utils, transformers.pipelines
    huggingface_hub.file_download.cached_download = transformers.pipelines.Conversation = None
    transformers.file_utils.is_tf_available = lambda: False
service = getattr(importlib.import_module(module), name)()
class Processor:
    def __init__(self, headers):
        self.headers = headers
    def get_request_properties(self):
        return self.headers
class Metrics:
    def add_time(self, *_): ...
class Context:
    def __init__(self, headers):
        self.system_properties = {"model_dir": model_dir, "batch_size": 1, "gpu_id": None}
        self.request_processor = [Processor(headers)]
        self.status, self.kind, self.metrics, self.model_name = 200, None, Metrics(), "model"
    def set_response_status(self, code, phrase):
        self.status = int(code)
    def set_response_content_type(self, index, kind):
        self.kind = kind
service.initialize(Context({}))
results = []
for headers, body in pickle.load(open(requests, "rb")):
    context = Context(headers)
    try:
        (answer,) = service.handle([{"body": bytearray(body)}], context)
    except PredictionException as error:
        context.status, answer = error.error_code, error.message
    results.append((context.status, context.kind, answer.encode() if isinstance(answer, str) else answer))
pickle.dump(results, open(answers, "wb"))
"""


class Asked(NamedTuple):
    status: int
    kind: str
    body: bytes


def ask(
    bundle: Path,
    work: Path,
    *requests: tuple[str, str, bytes],
    service: str = INFERENCE,
    hidden: Sequence[str] = (),
) -> list[Asked]:
    """Content type, Accept and body of each request to the toolkit's answers; `hidden` packages are only found
    where the bundle brings them."""
    prepared = [({"Content-Type": kind, "Accept": accept}, body) for kind, accept, body in requests]
    (work / "requests").write_bytes(pickle.dumps(prepared))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{bundle}/code:", "PYTHONDONTWRITEBYTECODE": "1"}
    places = [str(work / "requests"), str(work / "answers")]
    command = [sys.executable, "-c", CONTAINER, service, str(bundle), *places, *hidden]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=work)
    assert done.returncode == 0, done.stderr
    return [Asked(*answer) for answer in pickle.loads((work / "answers").read_bytes())]
