"""What the program asked for one resource."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cloudmodel.core.resource import Properties
from cloudmodel.engine.state import Resource


@dataclass(frozen=True)
class Alias:
    """A name that a resource had before: a whole `urn`, or the parts that differ from today's.

    `no_parent` says that it had none; an empty part means today's value.
    """

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    no_parent: bool = False


@dataclass(frozen=True)
class Goal:
    """A RegisterResource request in plain words. `inputs` are in wire form (secrets wrapped).

    `delete_before_replace` is None where the program did not say; `custom_timeouts` are seconds by verb;
    `import_id` is the identity to adopt.
    """

    type: str
    name: str
    custom: bool = True
    inputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    version: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    retain_on_delete: bool = False
    delete_before_replace: bool | None = None
    deleted_with: str = ""
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()
    import_id: str = ""
    custom_timeouts: Mapping[str, float] = field(default_factory=dict)


def entry(goal: Goal, urn: str, inputs: Properties, *, old: Resource | None = None) -> Resource:
    """The state entry that `goal` asks for, with checked `inputs`; identity, outputs and times are those of `old`."""
    return replace(
        old or Resource(urn=urn, type=goal.type),
        urn=urn,
        type=goal.type,
        custom=goal.custom,
        inputs=inputs,
        parent=goal.parent,
        provider=goal.provider,
        dependencies=tuple(sorted(set(goal.dependencies))),
        property_dependencies={
            key: tuple(sorted(set(urns))) for key, urns in sorted(goal.property_dependencies.items())
        },
        deleted_with=goal.deleted_with,
        protect=goal.protect,
        external=False,
        retain_on_delete=goal.retain_on_delete,
        delete=False,
        pending_replacement=False,
        import_id=goal.import_id,
        init_errors=(),
        additional_secret_outputs=goal.additional_secret_outputs,
        ignore_changes=goal.ignore_changes,
        replace_on_changes=goal.replace_on_changes,
        custom_timeouts=dict(goal.custom_timeouts),
    )
