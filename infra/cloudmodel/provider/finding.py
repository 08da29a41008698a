"""The AWS provider for a state that is made anew: it makes nothing, it finds what stands."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.core.resource import UNKNOWN, Live, Properties, ResourceFailure
from cloudmodel.provider.provider import AwsProvider


class FindingProvider(AwsProvider):
    """In a preview, a create answers with what an earlier create of the same inputs left in the cloud.

    What is not there is foreseen, as in any preview, and has no id. `passing` names tags by which nothing is told
    apart: what was made by another commit is the stack's all the same. It is for previews only, which call nothing
    that changes the cloud.
    """

    def __init__(self, endpoint_url: str | None, passing: frozenset[str]) -> None:
        super().__init__(endpoint_url)
        self._passing = passing

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        assert preview, "a provider that only finds makes nothing"
        return self._found(urn, type, inputs) or super().create(urn, type, inputs, timeout, preview)

    def _found(self, urn: str, type: str, inputs: Properties) -> Live | None:
        if UNKNOWN in inputs.values():
            return None  # it hangs on something that is not there
        known = _known(inputs)
        tags = known.get("tags")
        if isinstance(tags, Mapping):
            known["tags"] = {name: text for name, text in tags.items() if name not in self._passing}
        try:
            found = self.standing(urn, type, known)
        except ResourceFailure:
            if known.keys() == inputs.keys():
                raise
            return None
        return self.read(urn, type, found, known, {}) if found else None


def _known(inputs: Properties) -> Properties:
    """`inputs` less those that hold something that is not known, however deep."""
    return {name: value for name, value in inputs.items() if not _unknown(value)}


def _unknown(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_unknown, value.values()))
    return any(map(_unknown, value)) if isinstance(value, list) else value == UNKNOWN
