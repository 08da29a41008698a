"""Stack folders to break, and a cheap key so that thousands of cases can be tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import states
from cloudmodel.engine import secrets
from cloudmodel.engine.backend import StackFolder

settings.register_profile("state", max_examples=40)
settings.load_profile("state")

Open = Callable[..., StackFolder]


@pytest.fixture(autouse=True, scope="module")
def cheap_keys() -> Iterator[None]:
    """One round of key derivation; `test_secrets` does all of them. Other folders' tests, which may come next in this
    process, seal for commands that do all rounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "ROUNDS", 1)
        yield


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """The test stack as a new process would open it: nothing remembered."""

    def make(passphrase: str = "correct horse", stack: str = states.STACK) -> StackFolder:
        return StackFolder(tmp_path / ".cloudmodel", states.PROJECT, stack, states.passphrase(passphrase))

    return make


@pytest.fixture
def stood(opened: Open) -> Open:
    """The same, after an `up` that made one bucket with a secret."""
    folder = opened()
    with folder.open("up") as recorder:
        recorder.write(states.put(*states.BASE))
        entry = states.bucket("a", inputs={"password": states.secret()})
        recorder.end(recorder.begin(states.creating(entry)), states.put(entry))
    return opened
