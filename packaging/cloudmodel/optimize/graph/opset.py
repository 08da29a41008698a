"""Another operator set, for a server that is older or newer than the exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import onnx
from pydantic import Field

from cloudmodel.core.errors import StepFailed
from cloudmodel.core.progress import Report, silent
from cloudmodel.formats import onnx_files
from cloudmodel.optimize import proof
from cloudmodel.optimize.technique import Artifact, Evidence, Family, Material, Parameters

SCRIPT_FLOOR = 18
"""onnxscript's converter knows operator sets from here on, and upwards only; below it leaves the model as it is."""
IR_VERSION = 10
IR_FROM = 20


class To(Parameters):
    version: Annotated[int, Field(ge=7, le=28)] = 20


class Opset:
    """Convert to operator set `version`, IR version at most 10, which is what older servers load, and 10 from operator
    set 20 on. Large weights beside the file stay as they are.

    Upwards from 18 by onnxscript, on its own representation: given a ModelProto it rewrites the nodes and leaves the
    declared version as it was. Everything else by onnx's converter.
    """

    name: ClassVar[str] = "opset"
    family: ClassVar[Family] = "graph"
    parameters: ClassVar[type[Parameters]] = To

    def inapplicable(self, before: Artifact, material: Material, parameters: To) -> str | None:
        now = onnx_files.census(before.model).opset
        return f"the model has operator set {now} already" if now == parameters.version else None

    def apply(
        self, before: Artifact, material: Material, parameters: To, folder: Path, report: Report = silent
    ) -> Artifact:
        source = onnx_files.census(before.model).opset
        model = onnx_files.load_graph(before.model)
        try:
            if SCRIPT_FLOOR <= source < parameters.version:
                import onnx_ir
                from onnxscript import version_converter

                inner = onnx_ir.serde.deserialize_model(model)
                version_converter.convert_version(inner, parameters.version)
                model = onnx_ir.serde.serialize_model(inner)
            else:
                from onnx import version_converter as converter

                model = converter.convert_version(model, parameters.version)
        except Exception as error:
            raise StepFailed(
                f"Operator set {source} cannot become {parameters.version}: {' '.join(str(error).split())[:300]}",
                where=str(before.model),
                hint="export the model again with that operator set",
            ) from error
        if parameters.version >= IR_FROM:
            model.ir_version = IR_VERSION
            _free(model.graph)
        model.ir_version = min(model.ir_version, IR_VERSION)
        return Artifact(onnx_files.save(model, folder, source=before.model.parent))

    def prove(self, before: Artifact, after: Artifact) -> Evidence:
        old, new = onnx_files.census(before.model).opset, onnx_files.census(after.model).opset
        return proof.changed(before, after, opset_before=old, opset_after=new)


def _free(graph: Any) -> None:
    """Take the weights out of the inputs, where IR 3 lists them: from IR 4 on such a weight is one that a caller may
    change, and no constant."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [onnx.ValueInfoProto.FromString(each.SerializeToString()) for each in graph.input]
    del graph.input[:]
    graph.input.extend(each for each in inputs if each.name not in weights)
