"""`cloudmodel package`: the project's model becomes a bundle."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context
from cloudmodel.core.files import PRIVATE

if TYPE_CHECKING:
    from cloudmodel.formats.factory import Source
    from cloudmodel.formats.preprocess import Steps
    from cloudmodel.serving.package import ModelSource
    from cloudmodel.settings.model import Project


DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digests(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Whole digests only: a prefix would be somebody else's file one day."""
    for value in values:
        if not DIGEST.fullmatch(value):
            raise click.BadParameter(f"{value!r} is not sha256: and 64 hexadecimal digits")
    return values


@options.verb("package", exits=(3, 12, 14, 15))
@click.argument("bundle", metavar="[BUNDLE]", required=False)
@click.option("--push", is_flag=True, help="Also put it where `bundles` in cloudmodel.yaml says.")
@click.option("--trust", multiple=True, metavar="DIGEST", callback=digests,
              help="Load a file that the scan does not call clean, by its sha256:… as `scan` prints it.")  # fmt: skip
@click.option("--sign", type=click.Path(path_type=Path), metavar="KEY", help="Sign it with this private key (PEM).")
@click.option("--register", is_flag=True, help="Push it, and register it in SageMaker's model registry.")
def command(
    context: Context, bundle: str | None, push: bool, trust: tuple[str, ...], sign: Path | None, register: bool
) -> None:
    """Scan, load and export the model, prove parity, and keep the bundle by its digest. With BUNDLE (a path or a
    digest) nothing is made: that one is verified and pushed."""
    from cloudmodel.bundle import signing
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.core.files import private_folder
    from cloudmodel.serving import registry
    from cloudmodel.serving.package import package

    project = context.project()
    private_folder(project.folder / PRIVATE)
    if bundle is not None:
        _push(context, project, bundle, alone=push and not (sign or register or trust))
        return
    if sign:
        signing.require_private_key(sign)  # a key that is none is found before the work and not after it
    with reporting(debug=context.debug) as report:
        packaged = package(replace(model_source(project), trust=trust), bundles.store(project), report)
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


def _push(context: Context, project: Project, reference: str, *, alone: bool) -> None:
    """Put a bundle that was made before (an archive, or a large one's folder) where `bundles` says, with its
    signature."""
    from cloudmodel.bundle.archive import verify
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.core.errors import UsageError

    archive, signature = bundles.find_signed(context, reference)
    if not alone or bundles.digest_of(archive) is None:
        raise UsageError(
            "a bundle that is made already is pushed as it was made, and not unpacked"
            if alone
            else "a bundle that is made already is pushed, and nothing else",
            where=reference,
            hint="cloudmodel package --push DIGEST" if alone else f"cloudmodel package --push {reference}",
        )
    manifest = verify(archive)
    shared = bundles.store(project, shared=True)
    digest = shared.put(archive)
    if signature is not None:
        shared.attach(digest, signature)
    if context.json:
        more = {"pushed": project.bundles, "registered": None, "signed": signature is not None}
        emit("package", {**bundles.as_json(archive, manifest), **more})
    else:
        say(f"pushed {digest} to {project.bundles}")


def model_source(project: Project) -> ModelSource:
    """What cloudmodel.yaml says of the model, with paths from the project's folder. Raises what the registry does."""
    from cloudmodel.formats.factory import Source
    from cloudmodel.serving import registry
    from cloudmodel.settings.fields import MODULE_FACTORY

    source = project.model.source
    if MODULE_FACTORY.fullmatch(source):
        weights = project.folder / project.model.weights if project.model.weights else None
        factory = Source(project.folder, source, weights)
        return replace(described(project, factory), format=project.model.format)
    if registry.names_a_package(source):
        return described(project, registry.fetch(source, project.folder / PRIVATE / "caches" / "model-packages"))
    return replace(described(project, project.folder / source), format=project.model.format)


def described(project: Project, model: Path | Source) -> ModelSource:
    """A model, with all that cloudmodel.yaml says of it besides its source and format."""
    from cloudmodel.serving.package import ModelSource

    held_out = project.folder / project.evaluate.data if project.evaluate else None
    return ModelSource(
        name=project.name,
        source=model,
        task=project.model.task,
        labels=project.folder / project.model.labels if project.model.labels else None,
        inputs=project.model.inputs,
        layout=project.serve.layout,
        wheels=project.serve.wheels,
        preprocess=_steps(project),
        samples=held_out if held_out is not None and held_out.suffix == ".npz" and held_out.is_file() else None,
    )


def _steps(project: Project) -> Steps | None:
    """What the settings say of preprocessing, with the files that they name read. Raises ProjectInvalid."""
    from cloudmodel.formats.preprocess import IdSteps, ImageSteps, TextSteps, read_text
    from cloudmodel.settings.preprocess import IdPreprocess, ImagePreprocess

    wanted = project.model.preprocess
    if wanted is None:
        return None
    if isinstance(wanted, ImagePreprocess):
        return ImageSteps.model_validate(wanted.model_dump())
    if isinstance(wanted, IdPreprocess):
        return IdSteps(maps={name: read_text(project.folder / file) for name, file in wanted.maps.items()})
    tokenizer = read_text(project.folder / wanted.tokenizer)
    return TextSteps(tokenizer=tokenizer, max_length=wanted.max_length, pad=wanted.pad, side=wanted.side)
