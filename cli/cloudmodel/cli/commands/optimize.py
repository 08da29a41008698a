"""`cloudmodel optimize`: the fastest model that still passes, proven, or "leave it as it is"."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudmodel.cli import options
from cloudmodel.cli.context import Context
from cloudmodel.core.files import PRIVATE

if TYPE_CHECKING:
    from cloudmodel.core.progress import Report
    from cloudmodel.formats.factory import Source
    from cloudmodel.optimize.optimize import Outcome, Request
    from cloudmodel.serving.package import ModelSource
    from cloudmodel.settings.model import Project

SECONDS = {"s": 1, "m": 60, "h": 3600}
REPORT, RESULT = "report.html", "result.json"


@click.group(
    "optimize", context_settings=options.SETTINGS, invoke_without_command=True,
    epilog=options.epilog("optimize", (14, 15)),
)  # fmt: skip
@click.option("--recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Try the recipes of this YAML file only.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Take over what an interrupted search has measured.")
@options.common
@click.pass_context
def command(click_context: click.Context, recipe: Path | None, resume: bool) -> None:
    """Search for a faster or smaller model that passes the project's gate, and keep it as a bundle.

    `evaluate` in cloudmodel.yaml names the held-out data and the metric, `optimize` what must hold and what is wanted.
    Where nothing gains, the answer is to leave the model as it is, with the reason; that is exit code 0.
    """
    if click_context.invoked_subcommand is None:
        run(click_context.ensure_object(Context), recipe, resume=resume)


def run(context: Context, recipe: Path | None, *, resume: bool) -> None:
    """Search, report, and package what was chosen."""
    from cloudmodel.cli.output import emit, encode, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.core.files import private_folder, write_text
    from cloudmodel.optimize import report as reports
    from cloudmodel.optimize.optimize import optimize
    from cloudmodel.optimize.recipe import read

    project = context.project()
    home = private_folder(project.folder / PRIVATE) / "optimize"
    recipes = read(recipe) if recipe else None
    with reporting(debug=context.debug) as report:
        outcome = optimize(replace(request(project, report), recipes=recipes, resume=resume), report)
        bundle = _package(project, outcome, report) if outcome.model is not None else None
    document = {**outcome.document, "bundle": bundle, "report": str(home / REPORT)}
    reports.write(home / REPORT, project.name, document)
    write_text(home / RESULT, encode({"schema": "cloudmodel.optimize/1", **document}) + "\n")
    if outcome.model is None and outcome.document["verdict"] is not None:
        raise _gate_error(document)
    if context.json:
        emit("optimize", document)
        return
    say(_table(document))
    say()
    say(document["reason"])
    say(f"report  {home / REPORT}")
    if bundle:
        say(f"bundle  {bundle}")


@options.verb("replay", group=command, exits=(14,))
@click.argument("bundle", metavar="[PATH|DIGEST]", required=False)
def replay_command(context: Context, bundle: str | None) -> None:
    """Make an optimized bundle again from the project's own model and data: the same bytes, or the first difference."""
    import tempfile

    from cloudmodel.bundle import archive
    from cloudmodel.bundle.store import open_store
    from cloudmodel.cli import bundles
    from cloudmodel.cli.output import emit, say
    from cloudmodel.cli.progress import reporting
    from cloudmodel.core.errors import BundleChanged
    from cloudmodel.formats.onnx_files import MODEL
    from cloudmodel.optimize.replay import KEY, provenance_of, replay
    from cloudmodel.serving.package import package

    found = bundles.find(context, bundle)
    project = context.project()
    with tempfile.TemporaryDirectory(prefix="cloudmodel-replay-") as work, reporting(debug=context.debug) as report:
        folder = Path(work) / "bundle"
        manifest = archive.extract(found, folder) if found.is_file() else archive.verify(found)
        place = folder if found.is_file() else found
        provenance = provenance_of(manifest.metadata, str(found))
        held = next((each.path for each in manifest.files if Path(each.path).name == MODEL), MODEL)
        model = replay(provenance, place / held, request(project, report), Path(work) / "again", report)
        source = replace(_source(project, model), metadata={KEY: provenance})
        again = package(source, open_store("again", base=Path(work)), report)
        if again.manifest != manifest:
            raise BundleChanged(
                f"It cannot be made again: {_first(manifest.model_dump(), again.manifest.model_dump())}",
                where=str(found),
            )
        digest = bundles.digest_of(found)
        if digest is not None and again.digest != digest:
            raise BundleChanged(f"It cannot be made again: the archive is {again.digest}", where=str(found))
    document = {"bundle": str(found), "digest": digest, "same": True, "recipe": provenance["recipe"]}
    if context.json:
        emit("optimize-replay", document)
    else:
        say(f"the same bytes again: {digest or found}")


def request(project: Project, report: Report) -> Request:
    """What cloudmodel.yaml says, with paths from the project's folder; a PyTorch factory is exported first, for the
    search compares with what would be served. Raises ProjectInvalid, Unsupported, and what the export raises."""
    from cloudmodel.core.errors import ProjectInvalid
    from cloudmodel.formats import onnx, scan
    from cloudmodel.formats.signatures import narrow
    from cloudmodel.optimize.gate import Demand
    from cloudmodel.optimize.optimize import Request
    from cloudmodel.serving import target

    if project.evaluate is None:
        raise ProjectInvalid(
            "`optimize` needs labelled data that the model was never trained on",
            where=str(project.folder / "cloudmodel.yaml"),
            hint="add `evaluate: {data: data/heldout.npz, metric: accuracy}`",
        )
    target.choose(project.serve.layout, onnx.FORMAT)  # what is chosen is an ONNX file
    cache = project.folder / PRIVATE / "caches" / "optimize"
    path, source = _model(project, cache / "source", report)
    scan.require_clean(scan.scan(path))
    wanted = project.optimize
    return Request(
        model=path,
        signature=narrow(onnx.load(path).signature, project.model.inputs),
        folder=project.folder,
        evaluate=project.evaluate.data,
        metric=project.evaluate.metric,
        cache=cache,
        source=source,
        train=wanted.train,
        calibrate=wanted.calibrate,
        demand=Demand(wanted.max_drop, wanted.confidence, wanted.min_fidelity),
        objective=wanted.objective,
        techniques=wanted.techniques,
        budget=float(wanted.budget[:-1]) * SECONDS[wanted.budget[-1]],
    )


def _package(project: Project, outcome: Outcome, report: Report) -> str:
    """The chosen model as a bundle in the project's store; its digest."""
    from cloudmodel.cli import bundles
    from cloudmodel.optimize.replay import KEY
    from cloudmodel.serving.package import package

    assert outcome.model is not None
    source = replace(_source(project, outcome.model), metadata={KEY: outcome.provenance})
    return package(source, bundles.store(project), report).digest


def _source(project: Project, model: Path) -> ModelSource:
    from cloudmodel.cli.commands.package import described

    return described(project, model)


def _model(project: Project, folder: Path, report: Report) -> tuple[Path, Source | None]:
    """The ONNX file that the search starts from, and the model behind it where that is another one."""
    from cloudmodel.cli.commands.package import model_source
    from cloudmodel.formats import choose, opening
    from cloudmodel.formats.factory import Source
    from cloudmodel.formats.onnx import FORMAT
    from cloudmodel.formats.original import Job
    from cloudmodel.formats.signatures import as_tensors

    model = model_source(project)
    found = choose.find(model.source, model.format)
    if found.format == FORMAT and found.path is not None:
        return found.path, None
    choose.judge(found)
    job = Job(found.format, found.path, as_tensors(model.inputs), found.source)
    source = found.source or Source(project.folder, weights=found.path)
    return opening.export(job, folder, report=report).model, source


def _gate_error(document: dict[str, Any]) -> Exception:
    from cloudmodel.core.errors import GateNotMet, Undecidable

    kind = Undecidable if document["verdict"] == "undecidable" else GateNotMet
    needed = document["needed_rows"]
    return kind(
        document["reason"],
        where=document["report"],
        hint=f"give about {needed:,} rows (or queries) as evaluate.data, and a tenth more, 100 at least, to choose by"
        if needed
        else "see the report; the model stays as it is",
        details={"result": document},
    )


def _table(document: dict[str, Any]) -> str:
    from cloudmodel.cli.output import table

    rows = []
    for trial in document["trials"]:
        ratio, delta = trial["latency_ratio"], trial["metric_delta"]
        mark = "chosen" if trial["id"] == document["chosen"] else "passed" if trial["accepted"] else "refused"
        rows.append(
            (
                trial["id"],
                trial["title"],
                f"{ratio['mid']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]" if ratio else "",
                f"{delta['mid']:+.4f}" if delta else "",
                f"{trial['fidelity']:.4f}" if trial["fidelity"] is not None else "",
                f"{trial['size_bytes']:,}" if trial["size_bytes"] else "",
                f"{mark}: {trial['reason']}",
            )
        )
    return table(("ID", "RECIPE", "TIMES AS FAST", document["metric"].upper(), "FIDELITY", "BYTES", ""), rows)


def _first(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """The first key of two manifests that differs, down to the innermost one."""
    for key, value in wanted.items():
        other = found.get(key)
        if value != other:
            if isinstance(value, dict) and isinstance(other, dict):
                return f"{key}: {_first(value, other)}"
            return f"{key} was {str(value)[:200]} and is {str(other)[:200]}"
    return f"{sorted(found.keys() - wanted.keys())} are new"
