"""Faults on order: calls that the local AWS answers with an error of the orderer's, as AWS would on a bad day.

`POST /_cloudmodel/faults` with the instance's id in a header and a list of rules takes the place of the former rules:

    [{"service": "iam", "operation": "CreateRole", "after": 2, "times": 1,
      "status": 403, "code": "ExpiredToken", "message": "The security token included in the request is expired"}]

`service` (as requests are signed) and `operation` empty or absent mean any. The first `after` calls that fit are
answered as ever, the next `times` (absent: all) with the error. A reset forgets the rules.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

from cloudmodel.localaws.answers import Answer, Request, error

PATH = "/_cloudmodel/faults"


@dataclass
class Rule:
    """One kind of call that fails. Raises TypeError for fields that it does not have and values of another kind."""

    code: str
    status: int = 400
    message: str = "a fault on order"
    service: str = ""
    operation: str = ""
    after: int = 0
    times: int | None = None
    seen: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        texts, numbers = (
            (self.code, self.message, self.service, self.operation),
            (self.status, self.after, self.times or 0),
        )
        if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, int) for each in numbers):
            raise TypeError("a rule has texts and whole numbers")

    def fits(self, request: Request) -> bool:
        return self.service in ("", request.scope[2]) and self.operation in ("", request.operation)

    def strikes(self) -> bool:
        """Count one more call that fits; whether it is to fail."""
        self.seen += 1
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


class Faults:
    """The rules that hold now. Safe in threads."""

    def __init__(self) -> None:
        self._rules: tuple[Rule, ...] = ()
        self._lock = threading.Lock()

    def order(self, body: bytes) -> None:
        """Take the rules of `body`, a JSON list. Raises ValueError."""
        try:
            found: Any = json.loads(body or b"[]")
            rules = tuple(Rule(**each) for each in found)
        except (TypeError, RecursionError) as unfit:
            raise ValueError(f"not a list of rules: {unfit}") from None
        with self._lock:
            self._rules = rules

    def answer(self, request: Request) -> Answer | None:
        """The error that a rule has for this call; None where none has."""
        with self._lock:
            for rule in self._rules:
                if rule.fits(request) and rule.strikes():
                    return error(request, rule.status, rule.code, rule.message)
        return None
