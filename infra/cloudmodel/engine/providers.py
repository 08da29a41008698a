"""The configured providers of a run, by the URN of their entry."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from cloudmodel.core.errors import OperationFailed, Unsupported
from cloudmodel.core.resource import (
    Checked,
    Difference,
    DiffKind,
    Live,
    Properties,
    Provider,
    ProviderFactory,
    ResourceFailure,
)
from cloudmodel.engine import stash
from cloudmodel.engine import urn as urns
from cloudmodel.engine.diff import changed_keys
from cloudmodel.engine.state import Resource
from cloudmodel.engine.values import has_unknowns, plain, secret

OFFICIAL = "run it on the official engine: add `--engine official`"
ENGINE_KEYS = frozenset({"version", "pluginDownloadURL", "__internal"})
BUILT_IN = ("pulumi", "pulumi-python", "pulumi-nodejs")


def refuse_foreign(type: str) -> None:
    """Raise Unsupported for what Pulumi's own engine or language host provides."""
    if urns.package(type) in BUILT_IN and type != stash.TYPE:
        raise Unsupported(f"the embedded engine does not do {type}", where=type, hint=OFFICIAL)


class Unconfigured:
    """Stands in for a provider whose configuration a preview cannot know yet: it knows no output and no difference."""

    def check_config(self, inputs: Properties) -> Checked:
        return Checked(inputs)

    def configure(self, inputs: Properties) -> None:
        return None

    def check(self, urn: str, type: str, olds: Properties | None, news: Properties, seed: bytes) -> Checked:
        return Checked(news)

    def diff(
        self, urn: str, type: str, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Difference:
        changes: Mapping[str, DiffKind] = changed_keys(old_inputs, news)
        return Difference(changes)

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        return Live(id="", outputs=dict(inputs))

    def read(self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties) -> Live | None:
        return Live(id=id, outputs=dict(outputs), inputs=dict(inputs))

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
        return Live(id=id, outputs=dict(news))

    def delete(
        self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties, timeout: float | None
    ) -> None:
        raise ResourceFailure(f"the provider of {urn} has no configuration yet")

    def find(self, urn: str, type: str, inputs: Properties) -> str | None:
        return None

    def invoke(self, token: str, arguments: Properties) -> Properties:
        return {}


class Providers:
    """Makes one instance for each provider entry, from the program's registration or from the state.

    Safe for several threads; an instance is configured once, before anybody gets it.
    """

    def __init__(self, factory: ProviderFactory) -> None:
        self._factory = factory
        self._instances: dict[str, Provider] = {}
        self._lock = threading.RLock()

    def checked(self, urn: str, package: str, inputs: Properties) -> tuple[Provider, Checked]:
        """An unconfigured provider and its opinion of `inputs`, of which it never sees the engine's own keys."""
        try:
            provider = stash.Stashes() if package == stash.PACKAGE else self._factory(package)
        except Unsupported as refused:
            raise Unsupported(refused.message, where=refused.where or urn, hint=refused.hint or OFFICIAL) from None
        bare = plain({key: value for key, value in inputs.items() if key not in ENGINE_KEYS})
        return provider, provider.check_config(bare)

    def adopt(self, urn: str, provider: Provider, inputs: Properties) -> None:
        """Configure `provider` with checked `inputs` and keep it as the one of `urn`."""
        bare = plain(inputs)
        with self._lock:
            if has_unknowns(bare):
                self._instances[urn] = Unconfigured()
            else:
                provider.configure(bare)
                self._instances[urn] = provider

    def known(self, urn: str) -> Provider | None:
        """The instance of `urn`, if one was made in this run."""
        return self._instances.get(urn)

    def of(self, entry: Resource, source: Mapping[str, Resource] | None = None) -> Provider:
        """The instance that `entry` belongs to, made from the state's own record of it where needed.

        Raises OperationFailed when that record is missing or no longer accepted.
        """
        urn = urns.provider_urn(entry.provider)
        with self._lock:
            found = self._instances.get(urn)
            if found is not None:
                return found
            record = (source or {}).get(urn)
            if record is None:
                raise OperationFailed(f"the state has no provider for {entry.urn}", where=urn or entry.urn)
            provider, checked = self.checked(urn, urns.package(record.type), record.inputs)
            if checked.failures:
                reasons = "; ".join(f"{failure.property}: {failure.reason}" for failure in checked.failures)
                raise OperationFailed(f"the recorded configuration is refused: {reasons}", where=urn)
            self.adopt(urn, provider, checked.inputs)
            return self._instances[urn]


def default_name(version: str) -> str:
    """What Pulumi calls a default provider: `default`, or `default_7_51_1`."""
    return f"default_{re.sub(r'[^A-Za-z0-9]', '_', version)}" if version else "default"


def default_inputs(
    package: str, version: str, config: Mapping[str, str], secret_keys: frozenset[str]
) -> dict[str, Any]:
    """The inputs of a default provider: the stack's configuration of that package, and its version."""
    if package == stash.PACKAGE:
        return {}
    prefix = f"{package}:"
    inputs: dict[str, Any] = {
        key.removeprefix(prefix): secret(value) if key in secret_keys else value
        for key, value in sorted(config.items())
        if key.startswith(prefix)
    }
    return inputs | ({"version": version} if version else {}) | {"__internal": {}}


def new_id(urn: str) -> str:
    """The id of a provider entry: a UUID that only its name decides, so that equal programs give equal states."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, urn))
