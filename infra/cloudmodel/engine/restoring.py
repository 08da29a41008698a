"""Brings a stack back to what an earlier state holds: its entries are the goals, no program runs."""

from __future__ import annotations

from cloudmodel.engine import urn as urns
from cloudmodel.engine.deployment import Deployment
from cloudmodel.engine.goal import Goal
from cloudmodel.engine.normal import ordered
from cloudmodel.engine.state import Resource, State


def restore(deployment: Deployment, earlier: State) -> None:
    """Register every entry of `earlier` again, in topological order, and the stack's outputs. Raises Halted."""
    for entry in ordered(earlier.resources):
        if entry.delete or (urns.is_provider(entry.type) and urns.is_default_provider(f"{entry.urn}::")):
            continue
        goal = _goal(entry)
        if entry.external:
            deployment.read(goal, entry.id)
            continue
        registered = deployment.register(goal)
        if not entry.custom:
            deployment.outputs(registered.urn, entry.outputs)


def _goal(entry: Resource) -> Goal:
    """What a program that made `entry` asked for. The default provider is found again by its version."""
    default = urns.is_default_provider(entry.provider)
    return Goal(
        type=entry.type,
        name=entry.name,
        custom=entry.custom,
        inputs=entry.inputs,
        parent=entry.parent,
        provider="" if default else entry.provider,
        version=_version(entry.provider) if default else "",
        dependencies=entry.dependencies,
        property_dependencies=entry.property_dependencies,
        protect=entry.protect,
        retain_on_delete=entry.retain_on_delete,
        deleted_with=entry.deleted_with,
        ignore_changes=entry.ignore_changes,
        replace_on_changes=entry.replace_on_changes,
        additional_secret_outputs=entry.additional_secret_outputs,
        custom_timeouts=entry.custom_timeouts,
    )


def _version(reference: str) -> str:
    name = urns.split(urns.provider_urn(reference)).name
    return name.removeprefix("default").removeprefix("_").replace("_", ".")
