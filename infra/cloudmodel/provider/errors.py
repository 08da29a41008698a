"""What a failed cloud call means: for the caller (a code), for the engine (certain or not), for the user (a hint)."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmodel.core.resource import ResourceFailure

UNCERTAIN_CODES = frozenset({"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "503"})
ALREADY_THERE = frozenset(
    {
        "AlreadyExistsException",
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "EntityAlreadyExists",
        "ResourceAlreadyExistsException",
    }
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded"}
)

# What AWS answers while a role or its policy is still on its way through IAM; each goes away by itself.
PROPAGATION: Mapping[str, tuple[str, ...]] = {
    "ValidationException": ("assume role", "assume iam role", "cannot be assumed", "ensure that the role"),
    "InvalidParameterValueException": ("cannot be assumed",),
    "FailedResourceAccessException": ("",),
    "MalformedPolicy": ("invalid principal",),
    "MalformedPolicyDocumentException": ("invalid principal",),
    "OperationAborted": ("",),
}

HINTS: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"BucketAlreadyExists"}),
        "somebody else's AWS account has a bucket of this name; choose another, or leave it out to get a unique one",
    ),
    (
        ALREADY_THERE,
        "it exists and is not in this stack's state: import it, delete it, choose another name, or rebuild the state",
    ),
    (DENIED, "the credentials in use may not do this; ask for the permission that the message names"),
    (CREDENTIALS, "the credentials are wrong or expired; sign in again (for example `aws sso login`)"),
    (
        frozenset({"ResourceLimitExceeded", "ServiceQuotaExceededException", "LimitExceededException"}),
        "ask for a higher quota in Service Quotas, or use another instance type",
    ),
    (THROTTLED, "AWS still throttled after the retries; run again with a lower --parallel"),
)


class CallFailed(ResourceFailure):
    """A cloud call answered with an error. `code` and `status` are the service's; `text` is its own message."""

    def __init__(
        self,
        service: str,
        operation: str,
        code: str,
        text: str,
        *,
        status: int = 0,
        request_id: str = "",
        retried: bool = False,
    ) -> None:
        # Sent twice and "already exists" or "in progress": the first time may have done it.
        lost_reply = retried and (is_already_there(code, text) or "in-progress" in text.lower())
        super().__init__(
            f"{service} {operation}: {code}: {text}",
            request=f"{service} {operation}" + (f" (request {request_id})" if request_id else ""),
            hint=hint_for(code, text),
            uncertain=status >= 500 or code in UNCERTAIN_CODES or lost_reply,
        )
        self.code = code
        self.text = text
        self.status = status

    @property
    def propagating(self) -> bool:
        """True when the same call succeeds once IAM has caught up (D15)."""
        return any(fragment in self.text.lower() for fragment in PROPAGATION.get(self.code, ()))


def is_already_there(code: str, text: str) -> bool:
    """True when a create found its name taken. SageMaker says it in the text of a ValidationException (D19, D20)."""
    return code in ALREADY_THERE or "already exist" in text.lower()


def hint_for(code: str, text: str) -> str | None:
    """The next thing to try."""
    for codes, hint in HINTS:
        if code in codes:
            return hint
    return HINTS[1][1] if is_already_there(code, text) else None


def lost(service: str, operation: str, error: Exception, *, endpoint: str | None) -> ResourceFailure:
    """The failure of a call that got no answer: what it did is not known."""
    return ResourceFailure(
        f"{service} {operation}: no answer: {error}",
        request=f"{service} {operation}",
        hint=f"see that {endpoint or 'the network'} answers (the local AWS: `cloudmodel local status`), then run again",
        uncertain=True,
    )
