"""What `bootstrap` is asked for, and the names that follow from it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudmodel.catalog.catalog import dns_suffix, partition
from cloudmodel.core.errors import UsageError
from cloudmodel.core.naming import fit, short_hash
from cloudmodel.program import names
from cloudmodel.settings.model import Existing

GITHUB = "token.actions.githubusercontent.com"
GITLAB = "gitlab.com"
AUDIENCES = {GITHUB: "sts.amazonaws.com", GITLAB: "https://gitlab.com"}
REPOSITORY = {GITHUB: re.compile(r"[\w.-]+/[\w.-]+"), GITLAB: re.compile(r"[\w.-]+(/[\w.-]+)+")}
NAME = re.compile(r"[\w./-]{1,100}")
OURS = "cloudmodel"
PULUMI = "pulumi-project"
"""The tag of an apply role that has the project's name in Pulumi.yaml."""
IAM_NAME_LENGTH = 64


@dataclass(frozen=True)
class Pipeline:
    """Whose jobs may take the roles: one repository of GitHub or GitLab, exactly.

    `environment` is GitHub's, whose protection rules are the approval of an apply; GitLab's tokens are told apart by
    the branch.
    """

    host: str
    repository: str
    environment: str
    branch: str

    @property
    def plans(self) -> tuple[str, ...]:
        """The subjects that may plan: pull requests and the branch itself. GitLab's tokens of merge requests name the
        source branch, which may be any of this very project; a fork is another project."""
        if self.host == GITHUB:
            return (f"repo:{self.repository}:pull_request", f"repo:{self.repository}:ref:refs/heads/{self.branch}")
        return (f"project_path:{self.repository}:ref_type:branch:ref:*",)

    @property
    def applies(self) -> tuple[str, ...]:
        """The subjects that may apply."""
        if self.host == GITHUB:
            return (f"repo:{self.repository}:environment:{self.environment}",)
        return (f"project_path:{self.repository}:ref_type:branch:ref:{self.branch}",)


def pipeline(host: str, repository: str, environment: str, branch: str) -> Pipeline:
    """A checked pipeline. Raises UsageError for names that no token could carry, or that hold a wildcard."""
    flag = "--github" if host == GITHUB else "--gitlab"
    if not REPOSITORY[host].fullmatch(repository):
        raise UsageError(f"{repository!r} is no repository", where=flag, hint=f"{flag} OWNER/NAME")
    for given, value in (("--environment", environment), ("--branch", branch)):
        if not NAME.fullmatch(value):
            raise UsageError(f"{value!r} is no name that can be matched exactly", where=given, hint=f"{given} NAME")
    return Pipeline(host, repository, environment, branch)


@dataclass(frozen=True)
class Setup:
    """One project in one account and region. `pulumi` is the name of its Pulumi.yaml, where that is another."""

    project: str
    account: str
    region: str
    existing: Existing
    pipelines: tuple[Pipeline, ...] = ()
    pulumi: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError for a project whose stacks' names begin as those of what bootstrap makes: a role that may
        change the one could change the other."""
        if self.project == OURS or self.project.startswith(f"{OURS}-"):
            raise UsageError(
                f"Names that begin with {OURS} are bootstrap's own",
                where="name in cloudmodel.yaml",
                hint="give the project another name; its roles could not be told from those of bootstrap",
            )

    @property
    def urns(self) -> str:
        """A pattern of the tag `cloudmodel:urn`, which tells what the project's stacks made (`identity_tag`)."""
        return f"{self.pulumi_name}/*"

    @property
    def pulumi_name(self) -> str:
        """The project's name in Pulumi.yaml."""
        return self.pulumi or self.project

    @property
    def partition(self) -> str:
        return partition(self.region)

    @property
    def stem(self) -> str:
        """The beginning of the names of everything that the project's stacks make."""
        return f"{self.existing.name_prefix}{self.project}"

    def own(self, what: str) -> str:
        """The name of something that bootstrap makes: it never begins as a stack's own names do, so that no role that
        may change a stack's things may change this."""
        wanted = f"{self.existing.name_prefix}{OURS}-{what}-{self.project}-{self.region}"
        return wanted if len(wanted) <= IAM_NAME_LENGTH else f"{fit(wanted, IAM_NAME_LENGTH - 9)}-{short_hash(wanted)}"

    @property
    def bucket(self) -> str:
        return names.state_bucket(self.existing.name_prefix, self.project, self.account, self.region)

    @property
    def boundary_arn(self) -> str:
        """The boundary of every role that a stack makes: the platform's own, else ours."""
        return self.existing.boundary or self.arn("iam", f"policy/{self.own('boundary')}", region="")

    @property
    def tags(self) -> dict[str, str]:
        return {"managed-by": OURS, "owner": self.project, "purpose": "bootstrap"}

    def arn(self, service: str, resource: str, *, region: str | None = None, account: str | None = None) -> str:
        """An ARN in this account and region unless said otherwise."""
        region = self.region if region is None else region
        account = self.account if account is None else account
        return f"arn:{self.partition}:{service}:{region}:{account}:{resource}"

    def service(self, name: str) -> str:
        """A regional service as policies name it."""
        return f"{name}.{self.region}.{dns_suffix(self.region)}"
