"""Which AWS account a stack would act in, asked before anything else; another than the stack names is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing, SettingsInvalid
from cloudmodel.engine.run import Result
from cloudmodel.provider.errors import CREDENTIALS
from cloudmodel.settings.model import StackSettings

SIGN_IN = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`"
SESSION = "cloudmodel"
REFUSED = re.compile(rf"\b({'|'.join(sorted(CREDENTIALS))})\b")
KEYS = frozenset({"aws:accessKey", "aws:secretKey", "aws:token"})
"""Configuration that may be sealed in the settings file, and that says who asks."""


def identify(settings: StackSettings, config: Mapping[str, str]) -> str:
    """The account of the credentials that pulumi-aws would take for `config` (Pulumi's keys, in clear).

    One call: STS's GetCallerIdentity, which needs no permission; before it one AssumeRole for each role that the
    configuration names. Raises CredentialsMissing for none, for expired ones, and for an account that the stack may
    not touch; CloudmodelError where STS does not answer.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnection

    where = f"stack {settings.stack}, region {settings.region}"
    try:
        session = boto3.session.Session(
            aws_access_key_id=config.get("aws:accessKey") or None,
            aws_secret_access_key=config.get("aws:secretKey") or None,
            aws_session_token=config.get("aws:token") or None,
            profile_name=config.get("aws:profile") or None,
            region_name=settings.region,
        )
        for role in _roles(config, settings):
            session = _assumed(session, role, config)
        found = str(_sts(session, config).get_caller_identity()["Account"])
    except (HTTPClientError, NoConnection) as error:
        raise CloudmodelError(
            f"STS does not answer: {error}", where=where, hint="see that AWS can be reached"
        ) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        hint = SIGN_IN if code in CREDENTIALS else "see `aws sts get-caller-identity`"
        raise CredentialsMissing(f"the credentials are refused: {error}", where=where, hint=hint) from None
    except BotoCoreError as error:
        raise CredentialsMissing(
            f"there are no credentials that can be used: {error}", where=where, hint=SIGN_IN
        ) from None
    require(settings, found)
    return found


def require(settings: StackSettings, account: str) -> None:
    """Raise CredentialsMissing unless the stack may touch `account`."""
    allowed = settings.allowed_account_ids
    forbidden = _listed(settings.raw, "aws:forbiddenAccountIds", settings)
    if (allowed and account not in allowed) or account in forbidden:
        may = f"may touch {', '.join(allowed)} only" if allowed else f"must not touch {account}"
        raise CredentialsMissing(
            f"the credentials are of account {account}, and the stack {may}",
            where=f"{settings.path.name}: aws:{'allowed' if allowed else 'forbidden'}AccountIds",
            hint="use credentials of the right account (AWS_PROFILE), or correct the list",
        )


def tell_expired(result: Result, stack: str) -> None:
    """Raise CredentialsMissing where operations of a run failed because the credentials ended in the middle of it."""
    told = [failure for failure in result.failed if REFUSED.search(failure.message)]
    if told:
        failed = [{"urn": failure.step.urn, "message": failure.message} for failure in result.failed]
        raise CredentialsMissing(
            f"the credentials were refused in the middle of the run: {told[0].message}",
            where=told[0].step.urn,
            hint=f"sign in again and run the same command for stack {stack}; what succeeded is recorded",
            runbook="expired-credentials",
            details={"failed": failed},
        )


def _sts(session: Any, config: Mapping[str, str]) -> Any:
    endpoints = json.loads(config.get("aws:endpoints") or "[]")
    url = next((each["sts"] for each in endpoints if each.get("sts")), None)
    return session.client("sts", region_name=config.get("aws:stsRegion") or None, endpoint_url=url)


def _roles(config: Mapping[str, str], settings: StackSettings) -> list[dict[str, Any]]:
    """The roles that pulumi-aws takes one after the other, in its own words."""
    web = json.loads(config.get("aws:assumeRoleWithWebIdentity") or "{}")
    roles = [each for each in [web, *_listed(config, "aws:assumeRoles", settings)] if each]
    if not all(isinstance(each, dict) and each.get("roleArn") for each in roles):
        raise SettingsInvalid(
            "each role needs a roleArn",
            where=f"{settings.path.name}: aws:assumeRoles",
            hint="write it as a list: aws:assumeRoles: [{roleArn: arn:aws:iam::…}]",
        )
    return roles


def _assumed(session: Any, role: Mapping[str, Any], config: Mapping[str, str]) -> Any:
    import boto3

    asked = {"RoleArn": role["roleArn"], "RoleSessionName": role.get("sessionName") or SESSION}
    token = role.get("webIdentityToken")
    if role.get("webIdentityTokenFile"):
        token = Path(role["webIdentityTokenFile"]).read_text().strip()
    if token:
        answer = _sts(session, config).assume_role_with_web_identity(**asked, WebIdentityToken=token)
    else:
        external = {"ExternalId": role["externalId"]} if role.get("externalId") else {}
        answer = _sts(session, config).assume_role(**asked, **external)
    keys = answer["Credentials"]
    return boto3.session.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=session.region_name
    )


def _listed(config: Mapping[str, str], key: str, settings: StackSettings) -> list[Any]:
    try:
        found = json.loads(config.get(key) or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise SettingsInvalid("must be a list", where=f"{settings.path.name}: {key}", hint=f"write {key}: [...]")
    return found
