"""What programs of the tests are made of: resources of the cloud in memory, under the real Pulumi SDK."""

from __future__ import annotations

from typing import Any

import pulumi


class Thing(pulumi.CustomResource):
    """A resource of the cloud in memory."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]
    color: pulumi.Output[Any]
    token: pulumi.Output[Any]

    def __init__(self, called: str, opts: pulumi.ResourceOptions | None = None, /, **props: Any) -> None:
        outputs = dict.fromkeys(("arn", "name", "color", "token"))
        super().__init__("aws:test/thing:Thing", called, {**outputs, **props}, opts)


class Box(pulumi.ComponentResource):
    """A component with the things in it called after it."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        super().__init__("test:index:Box", name, None, opts)
        self.thing = Thing(f"{name}-thing", pulumi.ResourceOptions(parent=self), **props)
        self.register_outputs({"arn": self.thing.arn})


class Aws(pulumi.ProviderResource):
    """An explicit provider."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **props: Any) -> None:
        super().__init__("aws", name, props, opts)
