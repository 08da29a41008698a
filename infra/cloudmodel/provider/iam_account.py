"""AWS Identity and Access Management, what belongs to the account: managed policies and identity providers."""

from __future__ import annotations

from cloudmodel.core.resource import Live, Properties
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.documents import dumped, same_policy
from cloudmodel.provider.iam import ABSENT
from cloudmodel.provider.managed import Managed

MOST_VERSIONS = 5  # IAM keeps no more of a policy


class Policy(Managed):
    """A managed policy; its id is its ARN. A change makes a new version the default one and keeps the others."""

    type = "aws:iam/policy:Policy"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        described = {"Description": inputs["description"]} if inputs.get("description") else {}
        answer = cloud.call(
            "iam",
            "create_policy",
            PolicyName=inputs["name"],
            Path=inputs["path"],
            PolicyDocument=inputs["policy"],
            **described,
            **tags.IAM_POLICY.parameter(inputs.get("tags")),
        )
        made = answer["Policy"]
        return self.made(cloud, made["Arn"], inputs, arn=made["Arn"], policyId=made["PolicyId"], attachmentCount=0)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("iam", "get_policy", *ABSENT, PolicyArn=id)
        if answer is None:
            return None
        policy = answer["Policy"]
        version = cloud.call("iam", "get_policy_version", PolicyArn=id, VersionId=policy["DefaultVersionId"])
        found = {
            "description": policy.get("Description"),
            "name": policy["PolicyName"],
            "path": policy["Path"],
            "policy": dumped(version["PolicyVersion"]["Document"]),
            "tags": tags.IAM_POLICY.read(policy.get("Tags")),
        }
        return self.seen(
            cloud,
            id,
            {name: value for name, value in found.items() if value is not None},
            old,
            arn=id,
            policyId=policy["PolicyId"],
            attachmentCount=policy.get("AttachmentCount"),
        )

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        if not same_policy(old.get("policy"), inputs["policy"]):
            self._make_room(cloud, id)
            cloud.call("iam", "create_policy_version", PolicyArn=id, PolicyDocument=inputs["policy"], SetAsDefault=True)
        tags.IAM_POLICY.change(cloud, id, old.get("tags") or {}, inputs.get("tags") or {})
        kept = {name: old.get(name) for name in ("arn", "policyId", "attachmentCount")}
        return self.made(cloud, id, inputs, **kept)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        if cloud.find("iam", "get_policy", *ABSENT, PolicyArn=id) is None:
            return
        for version in self._others(cloud, id):
            cloud.find("iam", "delete_policy_version", *ABSENT, PolicyArn=id, VersionId=version)
        cloud.find("iam", "delete_policy", *ABSENT, PolicyArn=id)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return cloud.arn("iam", f"policy{inputs['path']}{inputs['name']}", region=False)

    def _make_room(self, cloud: Cloud, id: str) -> None:
        """Delete the oldest version that is not in use, where IAM would keep no more."""
        others = self._others(cloud, id)
        if len(others) >= MOST_VERSIONS - 1:
            cloud.call("iam", "delete_policy_version", PolicyArn=id, VersionId=others[-1])

    def _others(self, cloud: Cloud, id: str) -> list[str]:
        """The versions that are not the default one, newest first."""
        versions = [*cloud.pages("iam", "list_policy_versions", "Versions", PolicyArn=id)]
        others = [each for each in versions if not each["IsDefaultVersion"]]
        return [each["VersionId"] for each in sorted(others, key=lambda each: int(each["VersionId"][1:]), reverse=True)]


class OpenIdConnectProvider(Managed):
    """An identity provider that roles may trust; its id is its ARN, which its URL decides: one an account and URL."""

    type = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        thumbprints = {"ThumbprintList": inputs["thumbprintLists"]} if inputs.get("thumbprintLists") else {}
        answer = cloud.call(
            "iam",
            "create_open_id_connect_provider",
            Url=inputs["url"],
            ClientIDList=inputs["clientIdLists"],
            **thumbprints,
            **tags.IAM_OIDC.parameter(inputs.get("tags")),
        )
        arn = answer["OpenIDConnectProviderArn"]
        return self.made(cloud, arn, inputs, arn=arn, thumbprintLists=self._thumbprints(cloud, arn, inputs))

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("iam", "get_open_id_connect_provider", *ABSENT, OpenIDConnectProviderArn=id)
        if answer is None:
            return None
        url = str(answer["Url"])
        found = {
            "clientIdLists": answer.get("ClientIDList", []),
            "thumbprintLists": answer.get("ThumbprintList", []),
            "url": url if url.startswith("https://") else f"https://{url}",
            "tags": tags.IAM_OIDC.read(answer.get("Tags")),
        }
        return self.seen(cloud, id, found, old, arn=id)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        before, after = set(old.get("clientIdLists") or ()), set(inputs["clientIdLists"])
        for client in sorted(after - before):
            cloud.call("iam", "add_client_id_to_open_id_connect_provider", OpenIDConnectProviderArn=id, ClientID=client)
        for client in sorted(before - after):
            cloud.call(
                "iam", "remove_client_id_from_open_id_connect_provider", OpenIDConnectProviderArn=id, ClientID=client
            )
        thumbprints = inputs.get("thumbprintLists")
        if thumbprints and thumbprints != old.get("thumbprintLists"):
            cloud.call(
                "iam",
                "update_open_id_connect_provider_thumbprint",
                OpenIDConnectProviderArn=id,
                ThumbprintList=thumbprints,
            )
        tags.IAM_OIDC.change(cloud, id, old.get("tags") or {}, inputs.get("tags") or {})
        return self.made(cloud, id, inputs, arn=id, thumbprintLists=thumbprints or old.get("thumbprintLists"))

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        cloud.find("iam", "delete_open_id_connect_provider", *ABSENT, OpenIDConnectProviderArn=id)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return cloud.arn("iam", f"oidc-provider/{str(inputs['url']).removeprefix('https://')}", region=False)

    def _thumbprints(self, cloud: Cloud, arn: str, inputs: Properties) -> list[str]:
        """Those that were asked for, else those that AWS found by itself."""
        asked: list[str] = list(inputs.get("thumbprintLists") or ())
        if asked:
            return asked
        answer = cloud.call("iam", "get_open_id_connect_provider", OpenIDConnectProviderArn=arn)
        return list(answer.get("ThumbprintList", ()))


TYPES = (Policy(), OpenIdConnectProvider())
