"""Tags: one table of how each service spells the same three calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloudmodel.core.resource import Properties
from cloudmodel.provider.cloud import Cloud

RESERVED = "aws:"


@dataclass(frozen=True)
class Tagging:
    """How a service tags. `who`: the parameter that names the resource; `pair`: the two keys of a tag, None for a
    map."""

    service: str
    add: str
    remove: str
    show: str
    who: str
    pair: tuple[str, str] | None = ("Key", "Value")
    tags: str = "Tags"
    keys: str = "TagKeys"

    def written(self, tags: Mapping[str, str]) -> Any:
        """Tags as the service takes them."""
        if self.pair is None:
            return dict(tags)
        key, value = self.pair
        return [{key: name, value: text} for name, text in sorted(tags.items())]

    def parameter(self, tags: Mapping[str, str] | None) -> Properties:
        """The parameter of a create call; nothing where there are no tags, since some services refuse an empty list."""
        return {self.tags: self.written(tags)} if tags else {}

    def read(self, answer: Any) -> dict[str, str]:
        """Tags as the program writes them; AWS's own are left out."""
        if self.pair is None:
            found = dict(answer or {})
        else:
            key, value = self.pair
            found = {each[key]: each.get(value, "") for each in answer or ()}
        return {name: text for name, text in found.items() if not name.startswith(RESERVED)}

    def of(self, cloud: Cloud, who: str) -> dict[str, str]:
        """The live tags of a resource."""
        return self.read(cloud.call(self.service, self.show, **{self.who: who}).get(self.tags))

    def change(self, cloud: Cloud, who: str, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Make the tags `new`, with no call where they are so already."""
        if gone := sorted(old.keys() - new.keys()):
            cloud.call(self.service, self.remove, **{self.who: who, self.keys: gone})
        if added := {name: text for name, text in new.items() if old.get(name) != text}:
            cloud.call(self.service, self.add, **{self.who: who, self.tags: self.written(added)})


IAM_ROLE = Tagging("iam", "tag_role", "untag_role", "list_role_tags", "RoleName")
IAM_POLICY = Tagging("iam", "tag_policy", "untag_policy", "list_policy_tags", "PolicyArn")
IAM_OIDC = Tagging(
    "iam",
    "tag_open_id_connect_provider",
    "untag_open_id_connect_provider",
    "list_open_id_connect_provider_tags",
    "OpenIDConnectProviderArn",
)
KMS = Tagging("kms", "tag_resource", "untag_resource", "list_resource_tags", "KeyId", ("TagKey", "TagValue"))
SAGEMAKER = Tagging("sagemaker", "add_tags", "delete_tags", "list_tags", "ResourceArn")
LOGS = Tagging(
    "logs", "tag_resource", "untag_resource", "list_tags_for_resource", "resourceArn", None, "tags", "tagKeys"
)
AUTOSCALING = Tagging(
    "application-autoscaling", "tag_resource", "untag_resource", "list_tags_for_resource", "ResourceARN", None
)
CLOUDWATCH = Tagging("cloudwatch", "tag_resource", "untag_resource", "list_tags_for_resource", "ResourceARN")
SNS = Tagging("sns", "tag_resource", "untag_resource", "list_tags_for_resource", "ResourceArn")
