"""A fitted estimator of scikit-learn as `package` asks it: from a pickle, joblib or skops file, from a folder of steps,
or from a factory."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline

from cloudmodel.core.errors import ModelUnreadable, ProjectInvalid, StepFailed, Unsupported
from cloudmodel.formats import samples
from cloudmodel.formats.choose import STEPS
from cloudmodel.formats.factory import function
from cloudmodel.formats.model import Signature
from cloudmodel.formats.original import Asked, Exporter, Job
from cloudmodel.formats.sklearn import convert, features

LAST = "model"
"""The stem of the file that is the last step of a folder; the others come before it, by name."""
METHODS = {"label": "predict", "value": "predict", "probabilities": "predict_proba", "scores": "decision_function",
           "transformed": "transform"}  # fmt: skip
"""What an output is called, and the method that gives it."""


class EstimatorOriginal:
    """An estimator; its outputs are some of METHODS: a classifier answers `label` and `probabilities` (without those
    `scores`), a regressor `value`, a clustering `label`, a transformer `transformed`."""

    def __init__(self, estimator: Any, signature: Signature, facts: Mapping[str, Any]) -> None:
        self.estimator = estimator
        self._outputs = outputs(estimator)
        self.signature = signature
        self.facts: dict[str, Any] = {"scikit-learn": sklearn.__version__, **facts}

    def rows(self, signature: Signature) -> dict[str, NDArray[Any]] | None:
        """Texts in the vectorizer's own words, columns of the categories that were seen."""
        return features.rows(self.estimator, signature)

    def answer(self, request: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs by name. Raises StepFailed with the estimator's own words."""
        table = self.table(request)
        found: dict[str, NDArray[Any]] = {}
        for name in self._outputs:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    answer = getattr(self.estimator, METHODS[name])(table)
            except Exception as error:  # an estimator of another version fails in every way there is
                raise StepFailed(
                    f"{type(self.estimator).__name__}.{METHODS[name]} fails: {type(error).__name__}: {_line(error)}"
                ) from error
            found[name] = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
        return found

    def table(self, request: Mapping[str, NDArray[Any]]) -> Any:
        """A request as the estimator takes it. Raises StepFailed."""
        return features.table(request, self.signature)

    def save(self, path: Path, asked: Asked) -> None:
        """One joblib file, whatever it came from."""
        joblib.dump(self.estimator, path)

    def exporters(self) -> Mapping[str, Exporter]:
        """skl2onnx."""
        return {"skl2onnx": partial(convert.convert, self.estimator)}


def open_model(job: Job) -> EstimatorOriginal:
    """Load it, or call the factory. Raises ModelUnreadable, ProjectInvalid, Unsupported for something that is no
    estimator or does not predict."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        estimator = _made(job) if job.source is not None and job.source.factory else _loaded(job.path or Path())
    if not isinstance(estimator, BaseEstimator):
        raise Unsupported(
            f"It holds {type(estimator).__name__}, and no estimator of scikit-learn",
            where=str(job.path),
            hint="save the fitted estimator itself, or a Pipeline",
        )
    if not outputs(estimator):
        raise Unsupported(f"{type(estimator).__name__} neither predicts nor transforms", where=str(job.path))
    messages = [each.message for each in seen]
    old = {str(each.original_sklearn_version) for each in messages if isinstance(each, InconsistentVersionWarning)}
    facts = {"class": type(estimator).__name__, **({"fitted_with": sorted(old)} if old else {})}
    takes = features.signature(estimator, job.inputs, str(job.path))
    opened = EstimatorOriginal(estimator, takes, facts)
    if job.inputs or _answers(opened):
        return opened
    wide = EstimatorOriginal(estimator, features.widened(takes), facts)
    return wide if _answers(wide) else opened


def outputs(estimator: Any) -> tuple[str, ...]:
    """What an estimator answers, by the methods that it has."""
    if is_classifier(estimator):
        more = next((name for name in ("probabilities", "scores") if hasattr(estimator, METHODS[name])), None)
        return ("label", more) if more else ("label",)
    if hasattr(estimator, "predict"):
        labels = sklearn.base.is_clusterer(estimator) or sklearn.base.is_outlier_detector(estimator)
        return ("label",) if labels else ("value",)
    return ("transformed",) if hasattr(estimator, "transform") else ()


def _answers(original: EstimatorOriginal) -> bool:
    """Whether it takes the dtypes of its signature: compiled parts of some estimators want those of the training."""
    try:
        original.answer(original.rows(original.signature) or samples.make(original.signature, 2, samples.Guess(1, 2)))
    except StepFailed:
        return False
    return True


def _made(job: Job) -> Any:
    assert job.source is not None
    reference = job.source.factory or ""
    call = function(reference, job.source.folder)
    try:
        return call() if job.path is None else call(_loaded(job.path))
    except Exception as error:
        raise ProjectInvalid(
            f"The factory failed: {type(error).__name__}: {_line(error)}",
            where=reference,
            hint="it is called without network, with what model.weights holds if that is given, and returns a fitted "
            "estimator",
        ) from error


def _loaded(path: Path) -> Any:
    """What a file holds; of a folder, a pipeline of what its files hold."""
    if not path.is_dir():
        return _read(path)
    steps = sorted(
        (each for each in path.iterdir() if each.suffix in STEPS), key=lambda each: (each.stem == LAST, each.name)
    )
    return Pipeline([(each.stem.replace("__", "_"), _read(each)) for each in steps])


def _read(path: Path) -> Any:
    try:
        if _is_zip(path):
            import skops.io

            return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))  # the scan has judged them
        return joblib.load(path)
    except ModuleNotFoundError as error:
        raise ModelUnreadable(
            f"It needs a library that is not installed: {_line(error)}", where=str(path), hint="pip install it"
        ) from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError, OSError) as error:
        raise ModelUnreadable(
            f"scikit-learn {sklearn.__version__} cannot load it: {_line(error)}",
            where=str(path),
            hint="save it with the version that is installed here, or install the version that saved it",
        ) from None


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
