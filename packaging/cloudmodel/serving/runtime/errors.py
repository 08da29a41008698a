"""What went wrong with a request, in the form from which a container takes its status code.

AWS's `sagemaker-inference` toolkit answers with the status of an exception only if it is one of its own
(`sagemaker_inference.errors.BaseInferenceToolkitError`, read in its `transformer.py`); everything else becomes 500.
Where the toolkit is present our exceptions are therefore of its kind; elsewhere a base with the same three
attributes stands in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:

    class ToolkitError(Exception):
        def __init__(self, status_code: int, message: str, phrase: str) -> None: ...

else:
    try:
        from sagemaker_inference.errors import BaseInferenceToolkitError as ToolkitError
    except ImportError:

        class ToolkitError(Exception):
            def __init__(self, status_code, message, phrase):
                self.status_code = status_code
                self.message = message
                self.phrase = phrase
                super().__init__(status_code, message, phrase)


class RequestRefused(ToolkitError):
    """The client's mistake: `status_code` 4xx and one line that says what was expected."""

    def __init__(self, message: str, status_code: int = 400) -> None:
        line = " ".join(message.split())
        super().__init__(status_code, line, line)
        self.status_code = status_code
        self.message = line

    def __str__(self) -> str:
        return self.message


class UnsupportedType(RequestRefused):
    """A content type that the model's code does not read: 415."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 415)


class NotAcceptable(RequestRefused):
    """An answer form that the model's code does not write: 406."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 406)
