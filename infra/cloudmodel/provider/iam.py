"""AWS Identity and Access Management: roles and what they may do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cloudmodel.core.resource import Live, Properties, ResourceFailure
from cloudmodel.provider import tags
from cloudmodel.provider.cloud import Cloud
from cloudmodel.provider.documents import dumped, same_policy
from cloudmodel.provider.errors import CallFailed
from cloudmodel.provider.managed import Managed

ABSENT = ("NoSuchEntity", "NoSuchEntityException")


class Role(Managed):
    type = "aws:iam/role:Role"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        optional = {
            "Description": inputs.get("description"),
            "PermissionsBoundary": inputs.get("permissionsBoundary"),
        }
        answer = cloud.settle(
            "iam",
            "create_role",
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Path=inputs["path"],
            MaxSessionDuration=inputs["maxSessionDuration"],
            **{name: value for name, value in optional.items() if value},
            **tags.IAM_ROLE.parameter(inputs.get("tags")),
        )
        return self.made(cloud, inputs["name"], inputs, **self._computed(answer["Role"]))

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        answer = cloud.find("iam", "get_role", *ABSENT, RoleName=id)
        if answer is None:
            return None
        role = answer["Role"]
        found = {
            "assumeRolePolicy": dumped(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description"),
            "maxSessionDuration": role.get("MaxSessionDuration"),
            "name": role["RoleName"],
            "path": role["Path"],
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "tags": tags.IAM_ROLE.read(role.get("Tags")),
        }
        return self.seen(
            cloud,
            id,
            {name: value for name, value in found.items() if value is not None},
            old,
            **self._computed(role),
        )

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        if not same_policy(old.get("assumeRolePolicy"), inputs["assumeRolePolicy"]):
            cloud.settle("iam", "update_assume_role_policy", RoleName=id, PolicyDocument=inputs["assumeRolePolicy"])
        for_role = ("description", "maxSessionDuration")
        if any(old.get(name) != inputs.get(name) for name in for_role):
            cloud.call(
                "iam",
                "update_role",
                RoleName=id,
                Description=inputs.get("description", ""),
                MaxSessionDuration=inputs["maxSessionDuration"],
            )
        boundary = inputs.get("permissionsBoundary")
        if (old.get("permissionsBoundary") or None) != (boundary or None):
            if boundary:
                cloud.call("iam", "put_role_permissions_boundary", RoleName=id, PermissionsBoundary=boundary)
            else:
                cloud.call("iam", "delete_role_permissions_boundary", RoleName=id)
        tags.IAM_ROLE.change(cloud, id, old.get("tags") or {}, inputs.get("tags") or {})
        kept = {name: old.get(name) for name in ("arn", "createDate", "uniqueId")}
        return self.made(cloud, id, inputs, **kept)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        try:
            if old.get("forceDetachPolicies"):
                self._detach(cloud, id)
            cloud.find("iam", "delete_role", *ABSENT, RoleName=id)
        except CallFailed as error:
            if error.code == "DeleteConflict":
                raise ResourceFailure(
                    f"role {id} still has policies that this stack did not make: {error.text}",
                    request=error.request,
                    hint="detach them, or set forceDetachPolicies on the role",
                ) from error
            if error.code not in ABSENT:
                raise

    def _detach(self, cloud: Cloud, id: str) -> None:
        for policy in [*cloud.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=id)]:
            cloud.find("iam", "detach_role_policy", *ABSENT, RoleName=id, PolicyArn=policy["PolicyArn"])
        for name in [*cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=id)]:
            cloud.find("iam", "delete_role_policy", *ABSENT, RoleName=id, PolicyName=name)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return str(inputs["name"])

    def _computed(self, role: Any) -> Properties:
        return {
            "arn": role["Arn"],
            "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "uniqueId": role["RoleId"],
        }


class RolePolicy(Managed):
    """An inline policy; its id is `role:name`."""

    type = "aws:iam/rolePolicy:RolePolicy"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        cloud.call(
            "iam",
            "put_role_policy",
            RoleName=inputs["role"],
            PolicyName=inputs["name"],
            PolicyDocument=inputs["policy"],
        )
        return self.made(cloud, f"{inputs['role']}:{inputs['name']}", inputs)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        role, _, name = id.partition(":")
        answer = cloud.find("iam", "get_role_policy", *ABSENT, RoleName=role, PolicyName=name)
        if answer is None:
            return None
        found = {"role": role, "name": name, "policy": dumped(answer["PolicyDocument"])}
        return self.seen(cloud, id, found, old)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        role, _, name = id.partition(":")
        cloud.find("iam", "delete_role_policy", *ABSENT, RoleName=role, PolicyName=name)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return f"{inputs['role']}:{inputs['name']}"


class RolePolicyAttachment(Managed):
    """A managed policy on a role; its id is `role/policy arn`."""

    type = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"

    def create(self, cloud: Cloud, inputs: Properties, timeout: float | None) -> Live:
        cloud.call("iam", "attach_role_policy", RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return self.made(cloud, f"{inputs['role']}/{inputs['policyArn']}", inputs)

    def read(self, cloud: Cloud, id: str, old: Properties) -> Live | None:
        role, _, arn = id.partition("/")
        try:
            attached = [*cloud.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)]
        except CallFailed as error:
            if error.code in ABSENT:
                return None
            raise
        if not any(each["PolicyArn"] == arn for each in attached):
            return None
        return self.seen(cloud, id, {"role": role, "policyArn": arn}, old)

    def update(self, cloud: Cloud, id: str, old: Properties, inputs: Properties, timeout: float | None) -> Live:
        return self.create(cloud, inputs, timeout)

    def delete(self, cloud: Cloud, id: str, old: Properties, timeout: float | None) -> None:
        role, _, arn = id.partition("/")
        cloud.find("iam", "detach_role_policy", *ABSENT, RoleName=role, PolicyArn=arn)

    def identity(self, cloud: Cloud, inputs: Properties) -> str | None:
        return f"{inputs['role']}/{inputs['policyArn']}"


def roles(cloud: Cloud, arguments: Properties) -> Properties:
    """The roles of the account whose names a regular expression finds."""
    wanted, prefix = arguments.get("nameRegex") or "", arguments.get("pathPrefix") or "/"
    found = sorted(
        (each["RoleName"], each["Arn"])
        for each in cloud.pages("iam", "list_roles", "Roles", PathPrefix=prefix)
        if re.search(wanted, each["RoleName"])
    )
    return {
        "arns": [arn for _, arn in found],
        "id": cloud.region,
        "names": [name for name, _ in found],
        "nameRegex": arguments.get("nameRegex"),
        "pathPrefix": arguments.get("pathPrefix"),
    }


def role(cloud: Cloud, arguments: Properties) -> Properties:
    """One role, with its tags."""
    found = cloud.call("iam", "get_role", RoleName=arguments["name"])["Role"]
    return {
        "arn": found["Arn"],
        "assumeRolePolicy": dumped(found["AssumeRolePolicyDocument"]),
        "createDate": found["CreateDate"].isoformat(),
        "description": found.get("Description", ""),
        "id": found["RoleName"],
        "maxSessionDuration": found.get("MaxSessionDuration"),
        "name": found["RoleName"],
        "path": found["Path"],
        "permissionsBoundary": found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
        "roleLastUseds": [],
        "tags": tags.IAM_ROLE.read(found.get("Tags")) or {},
        "uniqueId": found["RoleId"],
    }


TYPES = (Role(), RolePolicy(), RolePolicyAttachment())
FUNCTIONS: Mapping[str, Callable[[Cloud, Properties], Properties]] = {
    "aws:iam/getRole:getRole": role,
    "aws:iam/getRoles:getRoles": roles,
}
