"""Every error a user can meet, with its exit code.

    CloudmodelError                 1   failed
    ├── UsageError                  2   usage, project or settings invalid
    │   ├── ProjectInvalid              a file of the project says something impossible
    │   ├── SettingsInvalid             a stack's settings say something impossible
    │   └── Unsupported                 asked of an engine or layout that does not do it
    ├── CredentialsMissing          3
    ├── OperationFailed             4   a resource operation failed
    ├── PolicyViolated              5
    ├── StackNotFound               6
    ├── UnexpectedChanges           7   changes where none were expected
    ├── Cancelled                   8
    ├── TimedOut                    9
    ├── RolledBack                 10   the update did not land
    ├── DriftFound                 11
    ├── PreflightFailed            12   quota, permission, capacity or fit
    ├── UnsafeModel                14   model or bundle unsafe, unknown, changed or unsigned
    │   ├── ModelUnreadable             cut short, empty, or not what its name says
    │   └── BundleChanged               bytes differ from the digest that names them
    ├── GateNotMet                 15   accuracy, fidelity or parity
    │   └── Undecidable                 too few samples to tell
    ├── StackLocked                16
    ├── StalePlan                  17
    ├── StateCorrupt                1   a state that must not be used or overwritten
    ├── SaveFailed                  1   the state could not be written; the journal has everything
    ├── LocalCloudUnavailable       1   the local AWS is dead, or its port is taken
    ├── ChildDied                   1   a confined child crashed, or ran out of time or memory
    ├── StepFailed                  1   a step of an optimization recipe cannot be done here
    │   └── NothingChanged              it ran, and the model is what it was
    └── InvocationFailed            1   an endpoint answered with an error

Codes 0 to 9 have the meanings that Pulumi publishes for its own CLI; 10 and above are ours.
An exception outside this tree is a bug in cloudmodel and exits with 255.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cloudmodel.core import runbooks


class CloudmodelError(Exception):
    """A failure that a user can act on.

    `message` says what happened, `where` names the file, resource or address, and `hint` is the next command
    or edit to try; `runbook` is the name of the page that goes on from there. `details` holds further machine-readable
    facts for `--json`; none may be a secret.
    """

    code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        runbook: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.runbook = runbook
        self.details = details or {}

    def as_json(self) -> dict[str, Any]:
        """The document that `--json` prints (`cloudmodel.error/1`)."""
        return {
            "schema": "cloudmodel.error/1",
            "code": self.code,
            "error": type(self).__name__,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
            **({"runbook": runbooks.runbook(self.runbook)} if self.runbook else {}),
            **({"details": self.details} if self.details else {}),
        }


class UsageError(CloudmodelError):
    """The command, the project or the settings cannot be used as they are."""

    code = 2


class ProjectInvalid(UsageError):
    """`cloudmodel.yaml` or `Pulumi.yaml` holds something impossible."""


class SettingsInvalid(UsageError):
    """`Pulumi.<stack>.yaml` holds something impossible."""


class Unsupported(UsageError):
    """What was asked for is not done by this engine, format or layout; the hint says what does it."""


class CredentialsMissing(CloudmodelError):
    """No credentials, expired credentials, or credentials of another account."""

    code = 3


class OperationFailed(CloudmodelError):
    """One or more resource operations failed; what succeeded is recorded."""

    code = 4


class PolicyViolated(CloudmodelError):
    """A policy forbids a planned resource."""

    code = 5


class StackNotFound(CloudmodelError):
    """The project has no such stack."""

    code = 6


class UnexpectedChanges(CloudmodelError):
    """`--expect-no-changes` was given and the plan has changes."""

    code = 7


class Cancelled(CloudmodelError):
    """The user stopped the run."""

    code = 8


class TimedOut(CloudmodelError):
    """Something did not become ready in its time."""

    code = 9


class RolledBack(CloudmodelError):
    """The endpoint is in service, but not with what was asked for."""

    code = 10


class DriftFound(CloudmodelError):
    """The cloud differs from the state."""

    code = 11


class PreflightFailed(CloudmodelError):
    """Quota, permission, capacity or fit would fail the deployment."""

    code = 12


class UnsafeModel(CloudmodelError):
    """A model or bundle that is unsafe, unknown, changed or unsigned."""

    code = 14


class ModelUnreadable(UnsafeModel):
    """A model file that is cut short, empty, or not what its name says."""


class BundleChanged(UnsafeModel):
    """A bundle whose bytes differ from the digest that names it."""


class GateNotMet(CloudmodelError):
    """Accuracy, fidelity or parity is below what the project demands."""

    code = 15


class Undecidable(GateNotMet):
    """The data cannot tell whether the gate is met; the message says how many samples would."""


class StackLocked(CloudmodelError):
    """Another run holds the stack."""

    code = 16


class StalePlan(CloudmodelError):
    """What a plan was made from has changed since."""

    code = 17


class StateCorrupt(CloudmodelError):
    """A state that cannot be read in full; it is neither used nor overwritten."""


class SaveFailed(CloudmodelError):
    """The state could not be written; the journal holds what happened."""


class LocalCloudUnavailable(CloudmodelError):
    """The local AWS does not answer, or cannot start."""


class InvocationFailed(CloudmodelError):
    """An endpoint answered a prediction request with an error."""


class ChildDied(CloudmodelError):
    """Work in a confined child process ended by a crash, at its time limit, or without memory."""


class StepFailed(CloudmodelError):
    """A step of an optimization recipe failed, ran out of its limits, or cannot be applied to this model."""


class NothingChanged(StepFailed):
    """A step of an optimization recipe ran without an error and changed nothing."""
