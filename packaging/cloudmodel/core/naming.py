"""Names that AWS accepts, and names that a content decides.

Limits: botocore 1.44 service models (`sagemaker`, `s3`), checked in tests/core/test_naming.py.
"""

from __future__ import annotations

import hashlib
import re

PROJECT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
STACK_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,100}")  # a part of file names: not `.`, not `..`
SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
SAGEMAKER_NAME_LENGTH = 63
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def short_hash(*parts: str, length: int = 8) -> str:
    """The first `length` hex digits of the sha256 over `parts`, each ended by NUL so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:length]


def fit(name: str, length: int) -> str:
    """`name` if it fits into `length` characters (10 or more), else its beginning and a hash of the whole."""
    if len(name) <= length:
        return name
    return f"{name[: length - 9].rstrip('-')}-{short_hash(name)}"
