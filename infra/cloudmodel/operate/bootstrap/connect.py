"""Who carries bootstrap out: our provider with a stack's `aws:` settings, in an account that the stack may touch."""

from __future__ import annotations

from pathlib import Path

from cloudmodel.core.errors import OperationFailed, Unsupported
from cloudmodel.core.files import PRIVATE
from cloudmodel.core.resource import Provider, ResourceFailure
from cloudmodel.deploy import account
from cloudmodel.localaws import server as localaws
from cloudmodel.localaws.identity import ACCOUNT
from cloudmodel.provider.config import KNOWN
from cloudmodel.provider.provider import AwsProvider
from cloudmodel.settings.model import Local, Project, StackSettings

NOT_HERE = ("aws:assumeRoles", "aws:assumeRoleWithWebIdentity")


def connect(project: Project, settings: StackSettings) -> tuple[Provider, str]:
    """A provider for the stack's region, and the account that it acts in; a local stack's is the local AWS, started.

    Raises CredentialsMissing for an account that the stack may not touch, Unsupported for settings that only Pulumi's
    own provider does.
    """
    if settings.target == "local":
        account.require(settings, ACCOUNT)
        provider: Provider = AwsProvider(endpoint_url=_local(project, settings))
        actor = ACCOUNT
    else:
        _refuse(settings)
        actor = account.identify(settings, settings.raw)
        provider = AwsProvider()
    config = {key.removeprefix("aws:"): value for key, value in settings.raw.items() if key.startswith("aws:")}
    try:
        provider.configure({key: value for key, value in config.items() if key in KNOWN})
    except ResourceFailure as failure:
        raise OperationFailed(failure.message, where=settings.path.name, hint=failure.hint) from None
    return provider, actor


def _refuse(settings: StackSettings) -> None:
    sealed = account.KEYS & settings.secret_keys
    named = [key for key in NOT_HERE if key in settings.raw]
    if sealed or named:
        raise Unsupported(
            f"bootstrap does not use {(sorted(sealed) or named)[0]}",
            where=settings.path.name,
            hint="sign in as who may set the account up (AWS_PROFILE; a profile can name a role), and leave it out",
        )


def _local(project: Project, settings: StackSettings) -> str:
    local, home = settings.local or Local(), Path(project.folder) / PRIVATE / "local"
    return localaws.start(home, region=settings.region, port=local.port, max_workers=local.max_workers).endpoint_url
