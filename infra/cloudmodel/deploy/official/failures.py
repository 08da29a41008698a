"""What Pulumi's command line says when it fails, as our errors with our exit codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from cloudmodel.core.errors import (
    CloudmodelError,
    CredentialsMissing,
    OperationFailed,
    StackLocked,
    StackNotFound,
    StateCorrupt,
    Unsupported,
    UsageError,
)
from cloudmodel.provider.provider import WAY_OUT

PREFIXES = ("stderr: ", "error: ", "Preview failed: ", "Exception calling application: ")
"""What stands before the words that matter, in this order."""
NOISE = re.compile(r"^(error: )?(update failed|preview failed|refresh failed|destroy failed|\s*)$")


@dataclass(frozen=True)
class Known:
    """Words of the command line, and what they mean; the line that holds them becomes the message."""

    words: str
    error: type[CloudmodelError]
    hint: str
    message: str = ""
    runbook: str | None = None


# The first that fits decides.
KNOWN = (
    Known(
        r"currently locked by|\[409\] Conflict",
        StackLocked,
        "wait for it; if it is gone: cloudmodel cancel --stack {stack} --engine official",
        "the stack {stack} is locked by another run of Pulumi: {detail}",
        "stuck-lock",
    ),
    Known(
        r"incorrect passphrase",
        CredentialsMissing,
        "set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the passphrase that was used before",
        "the passphrase is not the one that sealed this stack's secrets",
        "lost-passphrase",
    ),
    Known(
        r"passphrase must be set|PULUMI_CONFIG_PASSPHRASE",
        CredentialsMissing,
        "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it",
        "the stack's secrets need a passphrase, and none is set",
    ),
    Known(
        r"PULUMI_ACCESS_TOKEN|pulumi login|not logged in|Unauthorized: No credentials",
        CredentialsMissing,
        "set PULUMI_BACKEND_URL (s3://bucket keeps the state in your account), or run `pulumi login`",
        "Pulumi does not know where this stack's state is kept",
    ),
    Known(
        r"ExpiredToken",
        CredentialsMissing,
        "sign in again and run the same command; if the lock of the run that ended is left: cloudmodel cancel --stack "
        "{stack} --engine official",
        "the credentials ended: {detail}",
        "expired-credentials",
    ),
    Known(
        r"NoCredentialProviders|no EC2 IMDS role found|No valid credential sources|InvalidClientTokenId"
        r"|failed to refresh cached credentials|SharedConfigProfileNotExist",
        CredentialsMissing,
        "see `aws sts get-caller-identity`",
    ),
    Known(
        r"AWS account ID not allowed",
        CredentialsMissing,
        "use credentials of an account that aws:allowedAccountIds names",
    ),
    Known(
        r"secrets \(code=\w+\).*operation error KMS|KMS: (En|De)crypt|constructing secrets manager of type",
        CredentialsMissing,
        "see that `secretsprovider` in Pulumi.{stack}.yaml names the key that was used before, and that these "
        "credentials may kms:Encrypt and kms:Decrypt with it",
        "the key of this stack's secrets cannot be used: {detail}",
    ),
    Known(
        r"NoSuchBucket",
        UsageError,
        "cloudmodel bootstrap makes the bucket; or correct PULUMI_BACKEND_URL",
        "the bucket of the state does not exist: {detail}",
    ),
    Known(
        r"operation error S3: .*AccessDenied|blob \(.*\) \(code=PermissionDenied\)",
        CredentialsMissing,
        "these credentials must read and write the state's bucket and use its key; see `aws sts get-caller-identity`",
        "the state's bucket refuses: {detail}",
    ),
    Known(
        r"failed to load checkpoint: (unexpected )?EOF",
        StateCorrupt,
        "delete {stack}.json.attrs beside {stack}.json in the backend's folder: nothing in it is needed",
        "Pulumi was killed while it wrote what goes with the state of {stack}; the state itself is whole",
        "corrupt-state",
    ),
    Known(
        r"failed to load checkpoint: .*(unexpected end of JSON|invalid character|cannot unmarshal)"
        r"|could not deserialize deployment",
        StateCorrupt,
        "it was left as it is; Pulumi keeps the one before beside it as {stack}.json.bak, `cloudmodel state import "
        "--stack {stack} --file …` takes an export, and `cloudmodel state rebuild --stack {stack}` makes one anew",
        "the state of {stack} is damaged: {detail}",
        "corrupt-state",
    ),
    Known(
        r"unsupported checkpoint version",
        StateCorrupt,
        "use the version of Pulumi that wrote it; it was left as it is (`cloudmodel engine status` shows this one)",
    ),
    Known(
        r"reading history file",
        StateCorrupt,
        "move that file of the backend away: no more than this entry of the history is lost",
        "an entry of the history of {stack} is damaged: {detail}",
    ),
    Known(
        r"unable to open state directory|could not open bucket",
        UsageError,
        "make that folder, or correct PULUMI_BACKEND_URL",
    ),
    Known(
        r"still has resources",
        UsageError,
        "cloudmodel destroy --stack {stack}; or `--force` to forget them",
        "the stack {stack} still has resources",
    ),
    Known(r"Duplicate resource URN", CloudmodelError, "mend the program; what was already made is recorded"),
    Known(r"the local AWS does not do ", Unsupported, WAY_OUT),
    Known(r"no stack named", StackNotFound, "cloudmodel stack ls"),
    Known(
        r"Could not automatically download and install|[Cc]ould not (find|load|install) plugin|no resource plugin"
        r"|failed to (load|install) plugin",
        UsageError,
        "pulumi plugin install resource NAME, for the name and the version of the message; for a local stack with "
        "PULUMI_HOME=.cloudmodel/official/home in the project's folder",
    ),
)


def known(text: str, stack: str) -> CloudmodelError | None:
    """The error that the words in `text` name; None where they are not known."""
    for each in KNOWN:
        found = re.search(rf"^.*(?:{each.words}).*$", text, re.MULTILINE)
        if found:
            line = _bare(found[0])
            detail = _holder(text) or line
            message = each.message.format(stack=stack, detail=detail) if each.message else line
            hint = each.hint.format(stack=stack)
            return each.error(message, where=f"stack {stack}", hint=hint, runbook=each.runbook)
    return None


def unknown(text: str, said: Sequence[tuple[str, str]], stack: str) -> CloudmodelError:
    """What is left: errors of resources are failed operations, anything else is told in the command line's words."""
    of_resources = [(urn, message) for urn, message in said if urn]
    if of_resources:
        urn, message = of_resources[0]
        more = f" (and {len(of_resources) - 1} more failed)" if len(of_resources) > 1 else ""
        return OperationFailed(
            message + more,
            where=urn,
            hint="mend the cause and run the same command again; what succeeded is recorded",
            runbook="failed-deploy",
            details={"failed": [{"urn": urn, "message": message} for urn, message in of_resources]},
        )
    lines = [message for _, message in said] or [line for line in text.splitlines() if not NOISE.match(line)]
    said_last = _bare(lines[-1]) if lines else "it did not say why"
    return CloudmodelError(
        f"the official engine failed: {said_last}",
        where=f"stack {stack}",
        hint="add --debug to see all that it said",
    )


def _bare(line: str) -> str:
    """A line without what the command line puts before it."""
    return reduce(str.removeprefix, PREFIXES, line.strip().rpartition("  error: ")[2])


def _holder(text: str) -> str:
    """`created by root@host (pid 12) at 2026-…` of a lock's message."""
    found = re.search(r"created by (.+?)\s*$", text, re.MULTILINE)
    return f"held by {found[1]}" if found else ""
