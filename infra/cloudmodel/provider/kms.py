"""AWS Key Management Service: keys and their aliases."""

from __future__ import annotations

from typing import Any

from cloudmodel.core.resource import Live, Properties
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.documents import same_policy
from cloudmodel.provider.managed import Managed

ABSENT = ("NotFoundException",)
GONE = frozenset({"PendingDeletion", "PendingReplicaDeletion"})
DELETION_WINDOW_DAYS = 30


class Key(Managed):
    """A key has no name: what a lost create left behind is found by the tags that the program set."""

    type = "aws:kms/key:Key"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        optional = {
            "CustomKeyStoreId": inputs.get("customKeyStoreId"),
            "Description": inputs.get("description"),
            "MultiRegion": inputs.get("multiRegion"),
            "Policy": inputs.get("policy"),
            "XksKeyId": inputs.get("xksKeyId"),
        }
        answer = cloud.once(
            "kms",
            "create_key",
            KeySpec=inputs["customerMasterKeySpec"],
            KeyUsage=inputs["keyUsage"],
            BypassPolicyLockoutSafetyCheck=inputs["bypassPolicyLockoutSafetyCheck"],
            **{name: value for name, value in optional.items() if value},
            **tags.KMS.parameter(inputs.get("tags")),
        )
        key = answer["KeyMetadata"]
        id = key["KeyId"]
        made = self.made(cloud, id, inputs, arn=key["Arn"], keyId=id)
        with self.finishing(made, enableKeyRotation=False, isEnabled=True):
            if inputs["enableKeyRotation"]:
                self._rotate(cloud, id, inputs)
            if not inputs["isEnabled"]:
                cloud.call("kms", "disable_key", KeyId=id)
            policy = inputs.get("policy") or self._policy(cloud, id)
        return self.made(cloud, id, inputs, arn=key["Arn"], keyId=id, policy=policy)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("kms", "describe_key", *ABSENT, KeyId=id)
        if answer is None or answer["KeyMetadata"]["KeyState"] in GONE:
            return None
        key = answer["KeyMetadata"]
        rotation: dict[str, Any] = {}
        if key.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT":
            rotation = cloud.find("kms", "get_key_rotation_status", "UnsupportedOperationException", KeyId=id) or {}
        found = {
            "customKeyStoreId": key.get("CustomKeyStoreId"),
            "customerMasterKeySpec": key.get("KeySpec") or key.get("CustomerMasterKeySpec"),
            "description": key.get("Description", ""),
            "enableKeyRotation": rotation.get("KeyRotationEnabled", False),
            "isEnabled": key["Enabled"],
            "keyUsage": key["KeyUsage"],
            "multiRegion": key.get("MultiRegion", False),
            "policy": self._policy(cloud, id),
            "rotationPeriodInDays": rotation.get("RotationPeriodInDays"),
            "tags": tags.KMS.of(cloud, id),
            "xksKeyId": key.get("XksKeyConfiguration", {}).get("Id"),
        }
        present = {name: value for name, value in found.items() if value is not None}
        return self.seen(cloud, id, present, old, arn=key["Arn"], keyId=key["KeyId"])

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        # A disabled key takes no change: enable first, disable last.
        if inputs["isEnabled"] and not old.get("isEnabled", True):
            cloud.call("kms", "enable_key", KeyId=id)
        if inputs["enableKeyRotation"] != old.get("enableKeyRotation", False) or (
            inputs["enableKeyRotation"]
            and inputs.get("rotationPeriodInDays") not in (None, old.get("rotationPeriodInDays"))
        ):
            if inputs["enableKeyRotation"]:
                self._rotate(cloud, id, inputs)
            else:
                cloud.call("kms", "disable_key_rotation", KeyId=id)
        if "description" in inputs and inputs["description"] != old.get("description", ""):
            cloud.call("kms", "update_key_description", KeyId=id, Description=inputs["description"])
        if inputs.get("policy") and not same_policy(old.get("policy"), inputs["policy"]):
            cloud.settle(
                "kms",
                "put_key_policy",
                KeyId=id,
                PolicyName="default",
                Policy=inputs["policy"],
                BypassPolicyLockoutSafetyCheck=inputs["bypassPolicyLockoutSafetyCheck"],
            )
        tags.KMS.change(cloud, id, old.get("tags") or {}, inputs.get("tags") or {})
        if not inputs["isEnabled"] and old.get("isEnabled", True):
            cloud.call("kms", "disable_key", KeyId=id)
        policy = inputs.get("policy") or old.get("policy")
        return self.made(cloud, id, inputs, arn=old["arn"], keyId=id, policy=policy)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        days = old.get("deletionWindowInDays") or DELETION_WINDOW_DAYS
        cloud.find(
            "kms",
            "schedule_key_deletion",
            *ABSENT,
            "KMSInvalidStateException: pending deletion",
            KeyId=id,
            PendingWindowInDays=days,
        )

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        """The newest key with all the tags that the program sets; None where it sets none."""
        return max(self._tagged(cloud, inputs), default=("", None))[1]

    def standing(self, cloud: Cloud, inputs: Properties) -> str | None:
        """Of the keys with these tags, the newest that an alias names: it is in use. Without one, the newest."""
        found = self._tagged(cloud, inputs)
        named = {each.get("TargetKeyId") for each in cloud.pages("kms", "list_aliases", "Aliases")}
        return max([key for key in found if key[1] in named] or found, default=("", None))[1]

    def _tagged(self, cloud: Cloud, inputs: Properties) -> list[tuple[Any, str]]:
        """When each key with the tags of `inputs` was made, and its id; none where there are no tags."""
        wanted = inputs.get("tags") or {}
        found = []
        for each in cloud.pages("kms", "list_keys", "Keys") if wanted else ():
            answer = cloud.find("kms", "list_resource_tags", *ABSENT, "AccessDeniedException", KeyId=each["KeyId"])
            live = tags.KMS.read((answer or {}).get("Tags"))
            if all(live.get(name) == text for name, text in wanted.items()):
                key = cloud.call("kms", "describe_key", KeyId=each["KeyId"])["KeyMetadata"]
                if key["KeyState"] not in GONE and key.get("KeyManager", "CUSTOMER") == "CUSTOMER":
                    found.append((key["CreationDate"], str(key["KeyId"])))
        return found

    def _rotate(self, cloud: Cloud, id: str, inputs: Properties) -> None:
        days = inputs.get("rotationPeriodInDays")
        cloud.call("kms", "enable_key_rotation", KeyId=id, **({"RotationPeriodInDays": days} if days else {}))

    def _policy(self, cloud: Cloud, id: str) -> str:
        return str(cloud.call("kms", "get_key_policy", KeyId=id, PolicyName="default")["Policy"])


class Alias(Managed):
    type = "aws:kms/alias:Alias"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        cloud.call("kms", "create_alias", AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
        return self._made(cloud, inputs)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("kms", "describe_key", *ABSENT, KeyId=id)
        if answer is None:
            return None
        key = answer["KeyMetadata"]
        said = old.get("targetKeyId")
        target = said if said in (key["KeyId"], key["Arn"]) else key["KeyId"]
        return self.seen(cloud, id, {"name": id, "targetKeyId": target}, old, **alias_outputs(id, key["Arn"]))

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        cloud.call("kms", "update_alias", AliasName=id, TargetKeyId=inputs["targetKeyId"])
        return self._made(cloud, inputs)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("kms", "delete_alias", *ABSENT, AliasName=id)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])

    def _made(self, cloud: Cloud, inputs: Properties) -> Live:
        target = inputs["targetKeyId"]
        if not target.startswith("arn:"):
            target = cloud.arn("kms", f"key/{target}")
        return self.made(cloud, inputs["name"], inputs, **alias_outputs(inputs["name"], target))


def alias_outputs(name: str, key_arn: str) -> Properties:
    """An alias lives where its key does."""
    return {"arn": f"{key_arn.rpartition(':')[0]}:{name}", "targetKeyArn": key_arn}


TYPES = (Key(), Alias())
