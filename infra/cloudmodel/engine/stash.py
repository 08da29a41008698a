"""Pulumi's own resource that stands in the state only: `pulumi.Stash` keeps the value that it was made with.

Source of its behaviour: pulumi `pkg/resource/deploy/builtins.go`. `input` is the newest value, `output` the first one;
a program that wants a new `output` asks for a replacement (`replace_on_changes`).
"""

from __future__ import annotations

import json
import uuid

from cloudmodel.core.resource import Checked, CheckFailure, Difference, DiffKind, Live, Properties

PACKAGE = "pulumi"
TYPE = "pulumi:index:Stash"


class Stashes:
    """Implements core.resource.Provider for the one type; nothing is anywhere but in the state."""

    def check_config(self, inputs: Properties) -> Checked:
        return Checked(inputs)

    def configure(self, inputs: Properties) -> None:
        return None

    def check(self, urn: str, type: str, olds: Properties | None, news: Properties, seed: bytes) -> Checked:
        unknown = [CheckFailure(name, f'unknown property "{name}"') for name in news if name != "input"]
        missing = [] if "input" in news else [CheckFailure("input", 'missing required property "input"')]
        return Checked(news, (*unknown, *missing))

    def diff(
        self, urn: str, type: str, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Difference:
        return Difference({} if news["input"] == old_inputs.get("input") else {"input": DiffKind.UPDATE})

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        # Decided by name and value alone, so that equal programs give equal states.
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{urn} {json.dumps(inputs['input'], sort_keys=True)}"))
        return Live("" if preview else id, {"input": inputs["input"], "output": inputs["input"]}, inputs)

    def read(self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties) -> Live | None:
        return Live(id, outputs, inputs)

    def update(
        self,
        urn: str,
        type: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout: float | None,
        preview: bool,
    ) -> Live:
        return Live(id, {"input": news["input"], "output": old_outputs.get("output")}, news)

    def delete(
        self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties, timeout: float | None
    ) -> None:
        return None

    def find(self, urn: str, type: str, inputs: Properties) -> str | None:
        return None

    def invoke(self, token: str, arguments: Properties) -> Properties:
        raise NotImplementedError(token)  # refused by name before it comes here
