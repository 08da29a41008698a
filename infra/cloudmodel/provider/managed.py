"""The shape that every resource type of every service file has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar

from cloudmodel.core.resource import Live, Properties, ResourceFailure, ResourceNotReady
from cloudmodel.provider.checks import DEFAULTS
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.diffs import compare, empty
from cloudmodel.provider.rules import RULES
from cloudmodel.provider.rules.form import Rule


class Managed:
    """One resource type; stateless, so that one instance serves every provider and thread.

    `inputs` are checked inputs; `old` is what the state knows (old inputs under old outputs). Methods raise
    ResourceFailure. `find` and `identity` serve the types whose id is decided by their inputs.
    """

    type: ClassVar[str]

    @property
    def rule(self) -> Rule:
        """This type's table."""
        return RULES[self.type]

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        """Make it and wait until it is usable."""
        raise NotImplementedError

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        """What the cloud holds; None on a confirmed not-found only. `old` is empty for an import."""
        raise NotImplementedError

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        """Change it in place; called only for changes that do not replace."""
        raise NotImplementedError

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        """Delete it and wait until it is gone; gone already is done already."""
        raise NotImplementedError

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        """The id that a create with these inputs gives."""
        raise NotImplementedError

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        """The id of what a create with these inputs left behind."""
        id = self.identity(cloud, inputs)
        if not id:
            return None
        live = self.read(cloud, id, inputs)
        return live.id if live and is_ours(live.outputs, inputs) else None

    def standing(self, cloud: Cloud, inputs: Properties) -> str | None:
        """The id of what the stack of these inputs has now; other than `find` it need not be what was made last."""
        return self.find(cloud, inputs)

    @contextlib.contextmanager
    def finishing(self, live: Live, **undone: object) -> Iterator[None]:
        """What follows the call that made `live`: a failure leaves a resource that exists, with `undone` still to
        do."""
        try:
            yield
        except ResourceFailure as failure:
            outputs = {**live.outputs, **undone}
            raise ResourceNotReady(
                failure.message, Live(live.id, outputs, live.inputs), request=failure.request, hint=failure.hint
            ) from failure

    def made(self, cloud: Cloud, id: str, inputs: Properties, **computed: object) -> Live:
        """The answer of a create or update: the inputs as they were asked for, and what the cloud added."""
        said = {name: value for name, value in inputs.items() if name != DEFAULTS}
        return Live(id, {**self._common(cloud, said), **said, **_present(computed)}, inputs)

    def seen(self, cloud: Cloud, id: str, found: Properties, old: Properties, **computed: object) -> Live:
        """The answer of a read. Where the live value means the same as the known one, the known spelling stays.

        So a refresh of what nobody touched changes nothing, and what the cloud adds inside an object is no news.
        """
        fields = self.rule.fields
        outputs = {name: old[name] for name, each in fields.items() if each.local and old.get(name) is not None}
        for name, each in fields.items():
            if name in found:
                known = name in old and not any(compare(each, name, found[name], old[name]))
                if known:
                    outputs[name] = old[name]
                elif name in old or not (empty(found[name]) and empty(each.default)):
                    outputs[name] = found[name]
            elif name in old and empty(old[name]):
                outputs[name] = old[name]
        outputs = {**self._common(cloud, outputs), **outputs}
        inputs = {name: value for name, value in outputs.items() if name in fields}
        return Live(id, {**outputs, **_present(computed)}, inputs)

    def _common(self, cloud: Cloud, values: Properties) -> Properties:
        found: Properties = {}
        if "region" in self.rule.fields:
            found["region"] = cloud.region
        if "tagsAll" in self.rule.outputs:
            found["tagsAll"] = values.get("tags", {})
        return found


def is_ours(outputs: Properties, inputs: Properties) -> bool:
    """True unless the live thing carries other values for the tags that the program sets."""
    live, wanted = outputs.get("tags", {}), inputs.get("tags", {})
    return not live or all(live.get(name) == text for name, text in wanted.items())


def _present(values: dict[str, object]) -> Properties:
    return {name: value for name, value in values.items() if value is not None}
