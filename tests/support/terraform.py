"""Terraform's own AWS provider as a judge, offline, and the way from pulumi_aws' form to terraform's.

The mirror that holds the provider is named by `CLOUDMODEL_TERRAFORM_MIRROR`; a folder of its own and a configuration
of its own keep the user's terraform out of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

VARIABLE = "CLOUDMODEL_TERRAFORM_MIRROR"
VERSION = "5.100.0"
PROVIDER = "registry.terraform.io/hashicorp/aws"
DEADLINE = 500

TYPES = {
    "aws:s3/bucketObjectv2:BucketObjectv2": "aws_s3_object",
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "aws_iam_openid_connect_provider",
    "aws:ec2/securityGroup:SecurityGroup": "aws_security_group",
}
"""Types whose name is not the token's in snake case."""
NAMES = {("aws_cloudwatch_metric_alarm", "name"): "alarm_name", ("aws_sns_topic_subscription", "topic"): "topic_arn"}
"""Properties that pulumi_aws calls by another name."""
NEWER = frozenset({"region"})
"""Properties of provider 6, which pulumi_aws 7 is made from: 5.100 takes the region from its own configuration."""


def mirror() -> Path | None:
    """The folder of the provider mirror, where terraform and the mirror are both here."""
    found = Path(os.environ.get(VARIABLE, ""))
    return found if shutil.which("terraform") and (found / PROVIDER).is_dir() else None


class Terraform:
    """One initialised folder with the AWS provider; `endpoint_url` is where its calls go."""

    def __init__(self, folder: Path, mirror: Path, endpoint_url: str = "http://127.0.0.1:9") -> None:
        self.folder = folder
        configuration = folder / "cli.tfrc"
        installation = (
            "provider_installation {\n  filesystem_mirror {\n    path = %s\n  }\n}\ndisable_checkpoint = true\n"
        )
        configuration.write_text(installation % json.dumps(str(mirror)))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TF_CLI_CONFIG_FILE": str(configuration),
            "TF_IN_AUTOMATION": "1",
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.write({})
        self.run("init", "-input=false")

    @cached_property
    def schemas(self) -> Mapping[str, Any]:
        """What the provider itself says of its resources, by type: attributes and blocks."""
        told = json.loads(self.run("providers", "schema", "-json"))["provider_schemas"][PROVIDER]["resource_schemas"]
        return {name: each["block"] for name, each in told.items()}

    def write(
        self, resources: Mapping[str, Mapping[str, Any]], data: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """`resources`, and `data` that they read, by terraform type and name."""
        provider = {
            "region": "us-east-1",
            "skip_credentials_validation": True,
            "skip_metadata_api_check": "true",
            "skip_requesting_account_id": True,
            "s3_use_path_style": True,
        }
        document: dict[str, Any] = {
            "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": VERSION}}},
            "provider": {"aws": provider},
        }
        if resources:
            document["resource"] = resources
        if data:
            document["data"] = data
        (self.folder / "main.tf.json").write_text(json.dumps(document))

    def run(self, *command: str, may_fail: bool = False) -> str:
        """The standard output of a terraform command."""
        done = self.finished(*command)
        assert may_fail or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def finished(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A terraform command that has ended, however."""
        return subprocess.run(
            ["terraform", *command],
            check=False,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    def complaints(self, planned: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
        """What `terraform validate` says against (token, name, inputs), as "type.name: complaint"."""
        resources: dict[str, dict[str, Any]] = {}
        for token, name, inputs in planned:
            kind, label = resource_type(token), re.sub(r"[^\w-]", "_", name)
            named = resources.setdefault(kind, {})
            assert label not in named, f"{kind}.{label} twice"
            named[label] = terraform_form(kind, inputs, self.schemas[kind])
        self.write(resources)
        told = json.loads(self.run("validate", "-json", may_fail=True))
        assert told["valid"] == (told["error_count"] == 0)
        return sorted(
            f"{each.get('address') or each.get('snippet', {}).get('context')}: {each['summary']} {each['detail']}"
            for each in told["diagnostics"]
            if each["severity"] == "error"
        )


def snake(name: str) -> str:
    return re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower()


def resource_type(token: str) -> str:
    """terraform's name for a Pulumi type: `aws:kms/key:Key` is `aws_kms_key`."""
    _, module, noun = token.split(":")
    return TYPES.get(token) or f"aws_{module.split('/')[0]}_{snake(noun)}"


def terraform_form(path: str, inputs: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Wire inputs as terraform's JSON. A name that the schema does not know stays: it is terraform's to refuse."""
    attributes, blocks = schema.get("attributes", {}), schema.get("block_types", {})
    found: dict[str, Any] = {}
    for wire, value in inputs.items():
        if wire in NEWER and wire not in attributes:
            continue
        name = NAMES.get((path, wire)) or _known(snake(wire), attributes.keys() | blocks.keys())
        if name in blocks:
            items = value if isinstance(value, list) else [value]
            found[name] = [terraform_form(f"{path}.{name}", item, blocks[name]["block"]) for item in items]
        elif fields := _object_fields(attributes.get(name, {}).get("type")):
            found[name] = [_whole(item, fields) for item in value]
        else:
            found[name] = _literal(value)
    return found


def _object_fields(kind: Any) -> Iterable[str]:
    """The names inside an attribute that is a collection of objects."""
    match kind:
        case [_, ["object", {**fields}]]:
            return [str(name) for name in fields]
    return []


def _whole(item: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """An object of such an attribute: terraform wants every name in it, with null where nothing is said."""
    said = {snake(name): _literal(value) for name, value in item.items()}
    return {**dict.fromkeys(fields), **said}


def _known(name: str, names: Iterable[str]) -> str:
    """Pulumi has lists in the plural, terraform blocks in the singular."""
    spellings = (name, name.removesuffix("s"), re.sub(r"ies$", "y", name))
    return next((each for each in spellings if each in names), name)


def _literal(value: Any) -> Any:
    """A value in which terraform finds no expression; an asset is the path of its file."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return str(value.path) if hasattr(value, "path") else value
