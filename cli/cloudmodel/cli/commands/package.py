"""`cloudmodel package`: the project's model becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import PRIVATE, Context

if TYPE_CHECKING:
    from cloudmodel.serving.package import ModelSource
    from cloudmodel.settings.model import Project


@options.verb("package", exits=(3, 12, 14, 15))
@click.option("--push", is_flag=True, help="Also put it where `bundles` in cloudmodel.yaml says.")
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEY", help="Sign it with this private key (PEM).")
@click.option("--register", is_flag=True, help="Push it, and register it in SageMaker's model registry.")
def command(context: Context, push: bool, sign: Path | None, register: bool) -> None:
    """Scan, load and export the model, prove parity, and keep the bundle by its digest."""
    from cloudmodel.bundle import signing
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.core.files import private_folder
    from cloudmodel.serving import registry
    from cloudmodel.serving.package import package

    project = context.project()
    private_folder(project.folder / PRIVATE)
    if sign:
        signing.require_private_key(sign)  # a key that is none is found before the work and not after it
    with reporting(debug=context.debug) as report:
        packaged = package(model_source(project), bundles.store(project), report)
    kept = bundles.store(project)
    if sign:
        kept.attach(packaged.digest, signing.sign(packaged.manifest, sign))
    signature = kept.signature(packaged.digest)
    push = push or register
    if push:
        shared = bundles.store(project, shared=True)
        shared.put(packaged.archive)
        if signature is not None:
            shared.attach(packaged.digest, signature)
    registered = registry.register(packaged, project.bundles) if register else None
    if context.json:
        pushed = project.bundles if push else None
        more = {"pushed": pushed, "registered": registered.arn if registered else None, "signed": signature is not None}
        emit("package", {**bundles.as_json(packaged.archive, packaged.manifest), **more})
        return
    say(bundles.summary(packaged.archive, packaged.manifest))
    if sign:
        say(f"signed with {sign}")
    if push:
        say(f"pushed to {project.bundles}")
    if registered:
        say(f"registered as {registered.arn}" + ("" if registered.made else ", as it was already"))


def model_source(project: Project) -> ModelSource:
    """What cloudmodel.yaml says of the model, with paths from the project's folder. Raises Unsupported."""
    from cloudmodel.core.errors import Unsupported
    from cloudmodel.serving import registry

    if project.model.format not in ("auto", "onnx"):
        raise Unsupported(
            f"format {project.model.format} is not taken yet",
            where=f"{project.folder / 'cloudmodel.yaml'}: model.format",
            hint="export the model to ONNX and leave the format out",
        )
    source = project.model.source
    if registry.names_a_package(source):
        return onnx_source(project, registry.fetch(source, project.folder / PRIVATE / "caches" / "model-packages"))
    return onnx_source(project, project.folder / source)


def onnx_source(project: Project, model: Path) -> ModelSource:
    """An ONNX file, with all that cloudmodel.yaml says of the model besides its source."""
    from cloudmodel.serving.package import ModelSource

    held_out = project.folder / project.evaluate.data if project.evaluate else None
    return ModelSource(
        name=project.name,
        source=model,
        task=project.model.task,
        labels=project.folder / project.model.labels if project.model.labels else None,
        inputs=project.model.inputs,
        layout=project.serve.layout,
        samples=held_out if held_out is not None and held_out.suffix == ".npz" and held_out.is_file() else None,
    )
