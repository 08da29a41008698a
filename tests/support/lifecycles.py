"""Programs as data, over their whole life: what is asked for at each revision, and what goes wrong then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

from things import Aws, Thing

TOKEN = "aws:test/get:get"
# Properties that name a thing in the cloud, which all programs of one run share.
IDENTITIES = ("name",)


@dataclass(frozen=True)
class Node:
    """One resource. `uses` maps a property to the node whose arn it takes (`node.property` for another output).

    `options` are ResourceOptions in plain words: aliases are dicts, `deleted_with` is a node's name, `import_` and a
    `get` name what stands in the cloud. A `call` is an invoke, whose answer
    is exported.
    """

    name: str
    props: Mapping[str, Any] = field(default_factory=dict)
    uses: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["thing", "box", "provider", "get", "call"] = "thing"
    parent: str = ""
    provider: str = ""
    depends: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


Key = tuple[str, str]
"""(verb, name) of a provider's call."""


@dataclass(frozen=True)
class Revision:
    """One run. `replace` are the nodes of `--replace`.

    `fail` are calls that fail; `unready` are those that make the resource and then fail. Before the run, `stand` puts
    things that nobody manages into the cloud, `drift` changes properties of nodes behind the engine's back and `gone`
    deletes them.
    """

    nodes: tuple[Node, ...] = ()
    verb: Literal["up", "refresh", "destroy"] = "up"
    refresh: bool = False
    replace: tuple[str, ...] = ()
    fail: frozenset[Key] = frozenset()
    unready: frozenset[Key] = frozenset()
    stand: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drift: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    raises: bool = False


@dataclass(frozen=True)
class Program:
    """A name and the revisions of a life."""

    name: str
    revisions: tuple[Revision, ...]


def prefixed(name: str, lane: str) -> str:
    """How a name of a program is called where several programs run side by side."""
    return f"{lane}-{name}" if lane and name else name


def build(nodes: Iterable[Node], lane: str = "") -> dict[str, Any]:
    """Register `nodes` in their order, and return what the program exports."""
    made: dict[str, Any] = {}
    exports: dict[str, Any] = {}

    def value(used: str) -> Any:
        name, _, output = used.partition(".")
        return getattr(made[name], output or "arn")

    for node in nodes:
        props = {key: prefixed(item, lane) if key in IDENTITIES else item for key, item in node.props.items()}
        props |= {key: value(used) for key, used in node.uses.items()}
        props |= {key: pulumi.Output.secret(item) for key, item in node.secrets.items()}
        name = prefixed(node.name, lane)
        opts = _options(node, lane, made)
        if node.kind == "box":
            made[node.name] = pulumi.ComponentResource("test:index:Box", name, None, opts)
            made[node.name].register_outputs(props)
        elif node.kind == "provider":
            made[node.name] = Aws(name, opts, **props)
        elif node.kind == "call":
            asked = pulumi.InvokeOptions(parent=made.get(node.parent), provider=made.get(node.provider))
            exports[name] = pulumi.runtime.invoke_output(TOKEN, props, asked)
        elif node.kind == "get":
            opts.id = prefixed(str(node.options["id"]), lane)
            made[node.name] = Thing(name, opts, **props)
        else:
            made[node.name] = Thing(name, opts, **props)
        if node.kind in ("thing", "get"):
            exports[name] = made[node.name].arn
    return exports


def _options(node: Node, lane: str, made: Mapping[str, Any]) -> pulumi.ResourceOptions:
    given = {key: value for key, value in node.options.items() if key != "id"}
    if "aliases" in given:
        given["aliases"] = [_alias(alias, lane, made) for alias in given["aliases"]]
    if "deleted_with" in given:
        given["deleted_with"] = made[given["deleted_with"]]
    if "providers" in given:
        given["providers"] = [made[name] for name in given["providers"]]
    if "import_" in given:
        given["import_"] = prefixed(given["import_"], lane)
    return pulumi.ResourceOptions(
        parent=made.get(node.parent),
        provider=made.get(node.provider),
        depends_on=[made[name] for name in node.depends],
        **given,
    )


def _alias(alias: Mapping[str, str], lane: str, made: Mapping[str, Any]) -> pulumi.Alias:
    fields: dict[str, Any] = dict(alias)
    if "name" in fields:
        fields["name"] = prefixed(fields["name"], lane)
    if "parent" in fields:
        parent = fields.pop("parent")
        if not parent:
            fields["parent"] = pulumi.ROOT_STACK_RESOURCE
        elif parent in made:
            fields["parent"] = made[parent]
        else:
            fields["parent"] = f"urn:pulumi:dev::proj::test:index:Box::{prefixed(parent, lane)}"
    return pulumi.Alias(**fields)


def program(lanes: Mapping[str, Iterable[Node]], *, raises: bool = False) -> Callable[[], None]:
    """The program that holds those of all lanes."""

    def run() -> None:
        for lane, nodes in lanes.items():
            for name, value in build(nodes, lane).items():
                pulumi.export(name, value)
        if raises:
            raise ValueError("the program gave up")

    return run
