"""Amazon S3: buckets and their settings. Objects are in s3_object.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cloudmodel.core.resource import Live, Properties, ResourceFailure
from cloudmodel.provider.checks import DEFAULTS
from cloudmodel.provider.cloud import Answer, Cloud
from cloudmodel.provider.diffs import compare
from cloudmodel.provider.errors import CallFailed
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.rules.form import from_aws, to_aws
from cloudmodel.provider.rules.s3 import PUBLIC_ACCESS
from cloudmodel.provider.s3_object import BucketObject
from cloudmodel.provider.tags import RESERVED

ABSENT = ("NoSuchBucket", "404")
NO_LOCATION = "us-east-1"
BATCH = 1000
DEFAULT_MINIMUM = "all_storage_classes_128K"


class Bucket(Managed):
    type = "aws:s3/bucket:Bucket"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        name = inputs["bucket"]
        # In us-east-1 CreateBucket succeeds on a bucket of our own: only a name made for this create is surely new.
        if "bucket" not in inputs.get(DEFAULTS, ()):
            self._refuse_taken(cloud, name)
        place = {} if cloud.region == NO_LOCATION else {"LocationConstraint": cloud.region}
        cloud.settle(
            "s3",
            "create_bucket",
            Bucket=name,
            **({"CreateBucketConfiguration": place} if place else {}),
            **({"ObjectLockEnabledForBucket": True} if inputs.get("objectLockEnabled") else {}),
        )
        made = self._made(cloud, inputs)
        with self.finishing(made, tags={}, tagsAll={}):
            self._tag(cloud, name, inputs.get("tags") or {})
        return made

    def _refuse_taken(self, cloud: Cloud, name: str) -> None:
        try:
            answer = cloud.find("s3", "head_bucket", *ABSENT, Bucket=name)
        except CallFailed as error:
            if error.status in (301, 400, 403):
                raise CallFailed(
                    "s3", "HeadBucket", "BucketAlreadyExists", f"bucket {name} belongs to another account or region"
                ) from error
            raise
        if answer is not None:
            raise CallFailed("s3", "HeadBucket", "BucketAlreadyOwnedByYou", f"this account has bucket {name} already")

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = self._head(cloud, id)
        if answer is None:
            return None
        found: Properties = {"bucket": id, "tags": self._tags(cloud, id)}
        if old.get("objectLockEnabled"):
            lock = cloud.find("s3", "get_object_lock_configuration", "ObjectLockConfigurationNotFoundError", Bucket=id)
            found["objectLockEnabled"] = lock is not None
        return self.seen(cloud, id, found, old, **self._computed(cloud, id))

    def _head(self, cloud: Cloud, id: str) -> Answer | None:
        try:
            return cloud.find("s3", "head_bucket", *ABSENT, Bucket=id)
        except CallFailed as error:
            if error.status != 403:
                raise
            raise ResourceFailure(
                f"bucket {id} cannot be read: another account has it, or s3:ListBucket is not allowed",
                request=error.request,
                hint="see that aws:allowedAccountIds and the credentials are those that made the stack",
            ) from error

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        if (old.get("tags") or {}) != (inputs.get("tags") or {}):
            self._tag(cloud, id, inputs.get("tags") or {})
        return self._made(cloud, inputs)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        try:
            if old.get("forceDestroy"):
                self._empty(cloud, id, bypass=bool(old.get("objectLockEnabled")))
            cloud.find("s3", "delete_bucket", *ABSENT, Bucket=id)
        except CallFailed as error:
            if error.code == "BucketNotEmpty":
                raise ResourceFailure(
                    f"bucket {id} is not empty",
                    request=error.request,
                    hint="empty it, or set forceDestroy on the bucket, update, and destroy again",
                ) from error
            if error.code not in ABSENT:
                raise

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["bucket"])

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        """A bucket of this account, in this region; one that somebody else has is not what a create left behind."""
        owner = {"ExpectedBucketOwner": cloud.account.id} if cloud.account.id else {}
        try:
            head = cloud.find("s3", "head_bucket", *ABSENT, Bucket=inputs["bucket"], **owner)
        except CallFailed as error:
            if error.status in (301, 400, 403):
                return None
            raise
        if head is None or head.get("BucketRegion", cloud.region) != cloud.region:
            return None
        return super().find(cloud, inputs)

    def _empty(self, cloud: Cloud, id: str, *, bypass: bool) -> None:
        """Delete every version and delete marker, a thousand a call."""
        while batch := self._versions(cloud, id):
            answer = cloud.call(
                "s3",
                "delete_objects",
                Bucket=id,
                Delete={"Objects": batch, "Quiet": True},
                **({"BypassGovernanceRetention": True} if bypass else {}),
            )
            if errors := answer.get("Errors"):
                raise ResourceFailure(
                    f"bucket {id}: {len(errors)} objects cannot be deleted, the first is {errors[0].get('Key')}: "
                    f"{errors[0].get('Message')}",
                    request="s3 DeleteObjects",
                )

    def _versions(self, cloud: Cloud, id: str) -> list[Properties]:
        page = cloud.call("s3", "list_object_versions", Bucket=id, MaxKeys=BATCH)
        both = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in both]

    def _tags(self, cloud: Cloud, id: str) -> dict[str, str]:
        return {name: text for name, text in self._all_tags(cloud, id).items() if not name.startswith(RESERVED)}

    def _all_tags(self, cloud: Cloud, id: str) -> dict[str, str]:
        answer = cloud.find("s3", "get_bucket_tagging", "NoSuchTagSet", Bucket=id)
        return {each["Key"]: each["Value"] for each in (answer or {}).get("TagSet", ())}

    def _tag(self, cloud: Cloud, id: str, wanted: dict[str, str]) -> None:
        """PutBucketTagging replaces the whole set: AWS's own tags (CloudFormation's, ...) are put back with ours."""
        live = self._all_tags(cloud, id) if wanted else {}
        system = {name: text for name, text in live.items() if name.startswith(RESERVED)}
        if live == {**system, **wanted} and wanted:
            return
        if wanted:
            pairs = [{"Key": name, "Value": text} for name, text in sorted({**system, **wanted}.items())]
            cloud.call("s3", "put_bucket_tagging", Bucket=id, Tagging={"TagSet": pairs})
        else:
            cloud.call("s3", "delete_bucket_tagging", Bucket=id)

    def _made(self, cloud: Cloud, inputs: Properties) -> Live:
        return self.made(cloud, inputs["bucket"], inputs, **self._computed(cloud, inputs["bucket"]))

    def _computed(self, cloud: Cloud, name: str) -> Properties:
        return {
            "arn": cloud.arn("s3", name, region=False, account=False),
            "bucketDomainName": f"{name}.s3.{cloud.dns_suffix}",
            "bucketRegion": cloud.region,
            "bucketRegionalDomainName": f"{name}.s3.{cloud.region}.{cloud.dns_suffix}",
        }


class Setting(Managed):
    """One setting of a bucket; its id is the bucket's name. `call` is the API's name for it, after put, get, delete.

    A put is idempotent, so what a lost create left behind counts as found only when it says what was asked for.
    """

    call: str
    absent: tuple[str, ...] = ()

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        cloud.settle("s3", f"put_{self.call}", Bucket=inputs["bucket"], **self.parameters(inputs))
        return self.made(cloud, inputs["bucket"], inputs)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("s3", f"get_{self.call}", *ABSENT, *self.absent, Bucket=id)
        if answer is None:
            return None
        return self.seen(cloud, id, {"bucket": id, **self.found(answer)}, old)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("s3", f"delete_{self.call}", *ABSENT, *self.absent, Bucket=id)

    def find(self, cloud: Cloud, inputs: Properties) -> str | None:
        live = self.read(cloud, inputs["bucket"], inputs)
        if live is None:
            return None
        return None if any(self._differences(live.outputs, inputs)) else live.id

    def _differences(self, outputs: Properties, inputs: Properties) -> Iterator[Any]:
        for name, each in self.rule.fields.items():
            yield from compare(each, name, outputs.get(name), inputs.get(name))

    def parameters(self, inputs: Properties) -> Properties:
        """The parameters of the put call but for the bucket."""
        raise NotImplementedError

    def found(self, answer: Answer) -> Properties:
        """The properties that the get call's answer holds."""
        raise NotImplementedError


class Versioning(Setting):
    type = "aws:s3/bucketVersioning:BucketVersioning"
    call = "bucket_versioning"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        if inputs["versioningConfiguration"]["status"] == "Disabled":
            return self.made(cloud, inputs["bucket"], inputs)
        return super().create(cloud, inputs, timeout)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        if inputs["versioningConfiguration"]["status"] == "Disabled":
            self.delete(cloud, id, old, timeout)
            return self.made(cloud, id, inputs)
        return super().create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        # A bucket that had versions once never goes back to having none.
        if old.get("versioningConfiguration", {}).get("status") == "Enabled":
            suspended = {"Status": "Suspended"}
            cloud.find("s3", "put_bucket_versioning", *ABSENT, Bucket=id, VersioningConfiguration=suspended)

    def parameters(self, inputs: Properties) -> Properties:
        fields = self.rule.fields["versioningConfiguration"].fields
        mfa = {"MFA": inputs["mfa"]} if inputs.get("mfa") else {}
        return {"VersioningConfiguration": to_aws(fields, inputs["versioningConfiguration"]), **mfa}

    def found(self, answer: Answer) -> Properties:
        fields = self.rule.fields["versioningConfiguration"].fields
        return {"versioningConfiguration": {"status": "Disabled", **from_aws(fields, answer)}}


class PublicAccessBlock(Setting):
    type = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    call = "public_access_block"
    absent = ("NoSuchPublicAccessBlockConfiguration",)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        if not old.get("skipDestroy"):
            super().delete(cloud, id, old, timeout)

    def parameters(self, inputs: Properties) -> Properties:
        return {"PublicAccessBlockConfiguration": to_aws(PUBLIC_ACCESS, inputs)}

    def found(self, answer: Answer) -> Properties:
        return from_aws(PUBLIC_ACCESS, answer["PublicAccessBlockConfiguration"])


class OwnershipControls(Setting):
    type = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    call = "bucket_ownership_controls"
    absent = ("OwnershipControlsNotFoundError",)

    def parameters(self, inputs: Properties) -> Properties:
        return {"OwnershipControls": {"Rules": [to_aws(self.rule.fields["rule"].fields, inputs["rule"])]}}

    def found(self, answer: Answer) -> Properties:
        return {"rule": from_aws(self.rule.fields["rule"].fields, answer["OwnershipControls"]["Rules"][0])}


class Encryption(Setting):
    type = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    call = "bucket_encryption"
    absent = ("ServerSideEncryptionConfigurationNotFoundError",)

    def parameters(self, inputs: Properties) -> Properties:
        return {"ServerSideEncryptionConfiguration": {"Rules": [self._rule(each) for each in inputs["rules"]]}}

    def found(self, answer: Answer) -> Properties:
        fields = self.rule.fields["rules"].fields
        rules = []
        for each in answer["ServerSideEncryptionConfiguration"]["Rules"]:
            blocked = each.get("BlockedEncryptionTypes", {}).get("EncryptionType")
            found = from_aws({name: field for name, field in fields.items() if name != "blockedEncryptionTypes"}, each)
            rules.append({**found, **({"blockedEncryptionTypes": blocked} if blocked else {})})
        return {"rules": rules}

    def _rule(self, each: Properties) -> Properties:
        found = to_aws(self.rule.fields["rules"].fields, each)
        if blocked := found.pop("BlockedEncryptionTypes", None):
            found["BlockedEncryptionTypes"] = {"EncryptionType": blocked}
        return found


class BucketPolicy(Setting):
    type = "aws:s3/bucketPolicy:BucketPolicy"
    call = "bucket_policy"
    absent = ("NoSuchBucketPolicy",)

    def parameters(self, inputs: Properties) -> Properties:
        return {"Policy": inputs["policy"]}

    def found(self, answer: Answer) -> Properties:
        return {"policy": answer["Policy"]}


class Lifecycle(Setting):
    type = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    call = "bucket_lifecycle_configuration"
    absent = ("NoSuchLifecycleConfiguration",)

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        live = super().create(cloud, inputs, timeout)
        return Live(live.id, {"transitionDefaultMinimumObjectSize": DEFAULT_MINIMUM, **live.outputs}, inputs)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("s3", "delete_bucket_lifecycle", *ABSENT, *self.absent, Bucket=id)

    def parameters(self, inputs: Properties) -> Properties:
        rules = [to_aws(self.rule.fields["rules"].fields, each) for each in inputs.get("rules", ())]
        for rule in rules:
            # S3 wants each rule to say what it is for, even when that is everything.
            if "Prefix" not in rule and not rule.get("Filter"):
                rule["Filter"] = {"Prefix": ""}
        size = inputs.get("transitionDefaultMinimumObjectSize")
        return {
            "LifecycleConfiguration": {"Rules": rules},
            **({"TransitionDefaultMinimumObjectSize": size} if size else {}),
        }

    def found(self, answer: Answer) -> Properties:
        fields = self.rule.fields["rules"].fields
        size = answer.get("TransitionDefaultMinimumObjectSize")
        return {
            "rules": [from_aws(fields, dates_as_text(each)) for each in answer["Rules"]],
            **({"transitionDefaultMinimumObjectSize": size} if size else {}),
        }


def dates_as_text(value: Any) -> Any:
    """`value` with the dates of lifecycle rules as programs write them."""
    if isinstance(value, dict):
        return {key: dates_as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [dates_as_text(each) for each in value]
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else value


TYPES = (
    Bucket(),
    Versioning(),
    PublicAccessBlock(),
    OwnershipControls(),
    Encryption(),
    BucketPolicy(),
    Lifecycle(),
    BucketObject(),
)
