"""A cloud in memory and its provider: records calls, holds them up, fails them, loses replies, dies.

Every type behaves alike. `name` is the identity (automatic where it is missing), `color` and `size` change in place,
`kind` forces a replacement that is created first, `zone` one that is deleted first; `password` is never given back;
`refuse` fails the check. An
update changes only what differs between the old and the new inputs, as real providers do.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cloudmodel.core.errors import Unsupported
from cloudmodel.core.resource import (
    UNKNOWN,
    Checked,
    CheckFailure,
    Difference,
    DiffKind,
    Live,
    Properties,
    Provider,
    ResourceFailure,
)

MUTATING = frozenset({"create", "update", "delete"})
REPLACING = {"kind": False, "zone": True, "name": True}


class Crash(BaseException):
    """The process died here."""


@dataclass(frozen=True)
class Call:
    """One call of a provider; `name` is the last part of the URN."""

    verb: str
    name: str
    arguments: Properties = field(default_factory=dict)


class Cloud:
    """What exists, by (account, type, id), and everything that was asked of it."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str, str], Properties] = {}
        self.calls: list[Call] = []
        self.configured: list[Properties] = []
        self.failures: dict[tuple[str, str], Exception] = {}
        self.lost_replies: set[tuple[str, str]] = set()
        self.before: Callable[[Call], None] = lambda call: None
        self.crash_at: int | None = None
        self.crash_after_effect = False
        self.dead = False
        self.at_death: Callable[[], None] = lambda: None
        self.running = 0
        self.most_running = 0
        self.lock = threading.Lock()

    def mutations(self) -> list[Call]:
        """The calls that change the cloud, in their order."""
        return [call for call in self.calls if call.verb in MUTATING]

    def done(self, verb: str) -> list[str]:
        """The names of the resources that `verb` was called for, in order."""
        return [call.name for call in self.calls if call.verb == verb]

    def count(self) -> Counter[str]:
        """How often each verb was called."""
        return Counter(call.verb for call in self.calls)

    def names(self) -> list[str]:
        """The ids that exist, sorted."""
        return sorted(id for _, _, id in self.things)

    def forget_calls(self) -> None:
        """Start the record again."""
        self.calls.clear()
        self.most_running = 0

    def factory(self, package: str) -> Provider:
        """The provider of `aws`, and of nothing else."""
        if package != "aws":
            raise Unsupported(f"the embedded engine has no provider for the package '{package}'")
        return FakeProvider(self)

    def perform(self, call: Call, effect: Callable[[], Any]) -> Any:
        """Carry `effect` out as the tests want it: held up, failed, lost, or with the process dying around it."""
        with self.lock:
            if self.dead:
                raise Crash
            self.calls.append(call)
            number = len(self.mutations()) if call.verb in MUTATING else 0
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            self.before(call)
            failure = self.failures.get((call.verb, call.name))
            if failure is not None:
                raise failure
            dying = call.verb in MUTATING and number == self.crash_at
            if dying and not self.crash_after_effect:
                self.die()
            with self.lock:
                if self.dead:
                    raise Crash
                result = effect()
            if dying:
                self.die()
            if (call.verb, call.name) in self.lost_replies:
                raise ResourceFailure("the reply was lost", uncertain=True)
            return result
        finally:
            with self.lock:
                self.running -= 1

    def die(self) -> None:
        """From now on nothing is done and nothing recorded."""
        with self.lock:
            self.dead = True
            self.at_death()
        raise Crash


class FakeProvider:
    """Implements core.resource.Provider on a Cloud; `account` in its configuration keeps resources apart."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.account = ""

    def check_config(self, inputs: Properties) -> Checked:
        if inputs.get("region") == "moon":
            return Checked(inputs, (CheckFailure("region", "there is no such region"),))
        return Checked(inputs)

    def configure(self, inputs: Properties) -> None:
        self.account = str(inputs.get("account", ""))
        self.cloud.configured.append(inputs)

    def check(self, urn: str, type: str, olds: Properties | None, news: Properties, seed: bytes) -> Checked:
        inputs = dict(news)
        if "name" not in inputs:
            own = urn.rsplit("::", 1)[-1]
            inputs["name"] = (olds or {}).get("name") or f"{own}-{seed.hex()[:8]}"
        if "refuse" in inputs:
            return Checked(inputs, (CheckFailure("refuse", f"{inputs['refuse']} is not wanted"),))
        return Checked(inputs)

    def diff(
        self, urn: str, type: str, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Difference:
        changes = {}
        first = False
        for key in sorted({*old_inputs, *news}):
            if old_inputs.get(key) == news.get(key):
                continue
            kind = "add" if key not in old_inputs else "delete" if key not in news else "update"
            if key in REPLACING:
                kind += "-replace"
                first = first or REPLACING[key]
            changes[key] = DiffKind(kind)
        return Difference(changes, first)

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        if preview:
            return Live(id="", outputs={**inputs, "arn": UNKNOWN})
        id = str(inputs["name"])

        def effect() -> None:
            if (self.account, type, id) in self.cloud.things:
                raise ResourceFailure(f"{id} already exists")
            self.cloud.things[self.account, type, id] = dict(inputs)

        self.cloud.perform(Call("create", _name(urn), dict(inputs)), effect)
        return self._live(type, id)

    def read(self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties) -> Live | None:
        found = self.cloud.perform(Call("read", _name(urn)), lambda: (self.account, type, id) in self.cloud.things)
        return self._live(type, id) if found else None

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
        if preview:
            return Live(id=id, outputs={**old_outputs, **news})

        def effect() -> None:
            if (self.account, type, id) not in self.cloud.things:
                raise ResourceFailure(f"{id} does not exist")
            held = self.cloud.things[self.account, type, id]
            for key in {*old_inputs, *news}:
                if old_inputs.get(key) != news.get(key):
                    held.pop(key, None)
                    held |= {key: news[key]} if key in news else {}

        self.cloud.perform(Call("update", _name(urn), dict(news)), effect)
        return self._live(type, id)

    def delete(
        self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties, timeout: float | None
    ) -> None:
        self.cloud.perform(
            Call("delete", _name(urn), {"id": id, "timeout": timeout}),
            lambda: self.cloud.things.pop((self.account, type, id), None),
        )

    def find(self, urn: str, type: str, inputs: Properties) -> str | None:
        id = str(inputs["name"])
        found = self.cloud.perform(Call("find", _name(urn)), lambda: (self.account, type, id) in self.cloud.things)
        return id if found else None

    def invoke(self, token: str, arguments: Properties) -> Properties:
        self.cloud.perform(Call("invoke", token, arguments), lambda: None)
        if "fail" in arguments:
            raise ResourceFailure(f"the function refused: {arguments['fail']}")
        return {"account": self.account or "default", "echo": arguments}

    def _live(self, type: str, id: str) -> Live:
        held = self.cloud.things[self.account, type, id]
        outputs = {**held, "arn": f"arn:{id}"}
        return Live(id=id, outputs=outputs, inputs=dict(held), secrets=("token",))


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]
