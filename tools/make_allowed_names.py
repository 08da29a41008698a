"""Makes `packaging/cloudmodel/formats/scanning/allowed_names.json` again: what a pickle may import.

Run it where numpy, scipy, scikit-learn and torch are installed; review the difference before committing it. Exact
names only: a whole module is never allowed, because modules hand on what they import themselves.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

TARGET = Path(__file__).parents[1] / "packaging/cloudmodel/formats/scanning/allowed_names.json"
Names = Iterator[tuple[str, str]]

PYTHON = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor",
    "_codecs": "encode",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
}
NUMPY = {
    "numpy": "dtype ndarray bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 "
    "complex64 complex128 str_ bytes_ datetime64 timedelta64",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
}
JOBLIB = {"joblib.numpy_pickle": "NumpyArrayWrapper"}
TORCH_FUNCTIONS = "relu relu6 gelu silu elu leaky_relu tanh sigmoid softmax log_softmax mish hardswish hardsigmoid"
TORCHSCRIPT = {"torch.jit._pickle": "build_boollist build_doublelist build_intlist build_tensorlist restore_type_tag"}


def written(table: dict[str, str]) -> Names:
    for module, names in table.items():
        for name in names.split():
            yield module, name


def modules(package: str) -> Iterator[object]:
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if ".tests" in found.name or "externals" in found.name or "conftest" in found.name:
            continue
        try:
            yield importlib.import_module(found.name)
        except Exception as error:  # an optional dependency of that module
            print(f"left out {found.name}: {error}")


def classes(module: object) -> Iterator[type]:
    name = module.__name__  # type: ignore[attr-defined]
    for _, each in inspect.getmembers(module, inspect.isclass):
        if each.__module__ == name and "." not in each.__qualname__ and not issubclass(each, BaseException):
            yield each


def scipy_names() -> Names:
    from scipy.sparse import _base

    for module in modules("scipy.sparse"):
        for each in classes(module):
            if issubclass(each, _base._spbase):
                yield each.__module__, each.__name__


def sklearn_names() -> Names:
    from sklearn.base import BaseEstimator

    data_only = (
        "sklearn._loss", "sklearn.tree._tree", "sklearn.metrics._dist_metrics", "sklearn.neighbors._kd_tree",
        "sklearn.neighbors._ball_tree", "sklearn.gaussian_process.kernels", "sklearn.linear_model._sgd_fast",
        "sklearn.ensemble._hist_gradient_boosting.binning", "sklearn.ensemble._hist_gradient_boosting.predictor",
        "sklearn.utils._metadata_requests", "sklearn.utils._bunch", "sklearn.model_selection._split",
        "sklearn.neural_network._stochastic_optimizers", "sklearn.metrics._scorer",
    )  # fmt: skip
    yield from [("sklearn.calibration", "_CalibratedClassifier"), ("sklearn.calibration", "_SigmoidCalibration")]
    for module in modules("sklearn"):
        name = module.__name__  # type: ignore[attr-defined]
        for each in classes(module):
            if issubclass(each, BaseEstimator) or name.startswith(data_only):
                yield each.__module__, each.__name__
        for function in vars(module):
            if function.startswith("__pyx_unpickle_") and function != "__pyx_unpickle_Enum":
                yield name, function
            if function == "newObj" and name.startswith(data_only):
                yield name, function


def torch_names() -> Names:
    import torch
    from torch._weights_only_unpickler import _get_allowed_globals

    for path in _get_allowed_globals():
        module, _, name = path.rpartition(".")
        if module.partition(".")[0] == "torch":
            yield module, name
    for module in modules("torch.nn.modules"):
        for each in classes(module):
            if issubclass(each, torch.nn.Module):
                yield each.__module__, each.__name__
    for name in TORCH_FUNCTIONS.split():
        yield "torch.nn.functional", name
    yield from written(TORCHSCRIPT)


GROUPS: dict[str, tuple[Callable[[], Names], str | None]] = {
    "python": (lambda: written(PYTHON), None),
    "numpy": (lambda: written(NUMPY), "numpy"),
    "joblib": (lambda: written(JOBLIB), "joblib"),
    "scipy": (scipy_names, "scipy"),
    "sklearn": (sklearn_names, "scikit-learn"),
    "torch": (torch_names, "torch"),
}


def main() -> None:
    document = json.loads(TARGET.read_text()) if TARGET.exists() else {"versions": {}, "names": {}}
    warnings.simplefilter("ignore")
    for group, (names, package) in GROUPS.items():
        found: dict[str, set[str]] = defaultdict(set)
        try:
            for module, name in names():
                found[module].add(name)
        except ImportError as error:
            print(f"kept as it was: {group} ({error})")
            continue
        document["names"][group] = {module: sorted(found[module]) for module in sorted(found)}
        if package:
            document["versions"][group] = version(package)
    TARGET.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
