"""A state that Pulumi cannot read: it puts nothing in the place of one, so that it has to be out of the way first."""

from __future__ import annotations

from cloudmodel.deploy.official.bucket import SCHEME, BackendBucket, BucketPlace
from cloudmodel.deploy.official.unfinished import FilePlace, Place
from cloudmodel.deploy.official.workspace import FILES, folder_of

DAMAGED = ".damaged"


def set_aside(url: str, project: str, stack: str) -> bool:
    """Keep the stack's state under a name that is nothing to Pulumi; whether there was one, and this is a backend where
    it can be done. Raises OSError and the errors of the bucket."""
    state, found = f".pulumi/stacks/{project}/{stack}.json", False
    for name in (state, f"{state}.gz") if url.startswith((SCHEME, FILES)) else ():
        content = _place(url, name).read()
        if content is not None:
            _place(url, f"{name}{DAMAGED}").write(content)
            _place(url, name).remove()
            found = True
    return found


def _place(url: str, path: str) -> Place:
    return BucketPlace(BackendBucket(url), path) if url.startswith(SCHEME) else FilePlace(folder_of(url) / path)
