"""Graph simplification by four tools. onnxruntime does much of it again when it loads a model, so what counts is what
is measured: on models that it knows well these steps gain nothing, and then the trial is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import proof
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters


class Nothing(Parameters):
    """No parameters."""


class Simplifier:
    """A ModelProto in, a ModelProto out: what such steps have in common."""

    family: ClassVar[Family] = "graph"
    parameters: ClassVar[type[Parameters]] = Nothing

    def inapplicable(self, before: Artifact, material: Material, parameters: Any) -> str | None:
        return None

    def apply(
        self, before: Artifact, material: Material, parameters: Any, folder: Path, report: Report = silent
    ) -> Artifact:
        try:
            model = self.rewrite(before.model, folder)
        except StepFailed:
            raise
        except Exception as error:
            raise StepFailed(
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", where=str(before.model)
            ) from error
        return Artifact(onnx_files.save(model, folder))

    def rewrite(self, path: Path, folder: Path) -> Any:
        raise NotImplementedError

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        return proof.changed(before, after)


class Slim(Simplifier):
    """onnxslim: constant folding, dead code, fusions of patterns, shape computations."""

    name: ClassVar[str] = "slim"

    def rewrite(self, path: Path, folder: Path) -> Any:
        import onnxslim

        return onnxslim.slim(onnx_files.load(path))


class OnnxOptimizer(Simplifier):
    """onnxoptimizer: the ONNX project's fusion and elimination passes."""

    name: ClassVar[str] = "onnxoptimizer"

    def rewrite(self, path: Path, folder: Path) -> Any:
        import onnxoptimizer

        return onnxoptimizer.optimize(onnx_files.load(path), onnxoptimizer.get_fuse_and_elimination_passes())


class ScriptOptimizer(Simplifier):
    """onnxscript's optimizer: constant folding, inlining of functions, common subexpressions."""

    name: ClassVar[str] = "onnxscript"

    def rewrite(self, path: Path, folder: Path) -> Any:
        import onnx_ir
        from onnxscript import optimizer

        model = onnx_ir.serde.deserialize_model(onnx_files.load(path))
        optimizer.optimize(model)
        return onnx_ir.serde.serialize_model(model)


class OrtBasic(Simplifier):
    """onnxruntime's own optimizer at level BASIC, written to a file. Higher levels write nodes that only this
    processor has, so they are left to the moment the model is loaded."""

    name: ClassVar[str] = "ort-basic"

    def rewrite(self, path: Path, folder: Path) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        written = folder / "basic.onnx"
        options.optimized_model_filepath = str(written)
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        model = onnx_files.load(written)
        written.unlink()
        return model
