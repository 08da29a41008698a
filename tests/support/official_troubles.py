"""The troubles of `troubles` on the official engine, whose state and second lock lie elsewhere."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from shell import Shell, lines_until
from troubles import Scene, Shop, failed_deploy, leave_a_lock, silent_rollback


def backend(shop: Shop) -> Path:
    return shop.folder / ".cloudmodel/official/.pulumi"


def stuck_lock(shop: Shop) -> Iterator[None]:
    """A job of another machine was ended in the middle of an update, and Pulumi with it: both locks are left."""
    shop.another_model()
    job = Shell(shop.folder, shop.terminal.environment()).start("up", "--stack", "prod", "--yes")
    lines_until(job, "endpoint updating (")
    running = psutil.Process(job.pid).children(recursive=True)
    for process in (each for each in running if each.name() == "pulumi"):
        process.send_signal(signal.SIGKILL)
    job.kill()
    job.communicate()
    leave_a_lock(shop)
    (theirs,) = (backend(shop) / "locks/organization/shop/prod").glob("*.json")
    theirs.write_text(json.dumps(json.loads(theirs.read_text()) | {"hostname": "runner-41"}))
    yield
    yield
    assert not (shop.state / "lock").exists() and not theirs.exists()


def lost_state(shop: Shop) -> Iterator[None]:
    for path in backend(shop).rglob("prod.*"):
        path.unlink()
    yield
    yield


def corrupt_state(shop: Shop) -> Iterator[None]:
    state = backend(shop) / "stacks/shop/prod.json"
    damaged = state.read_bytes()[:2000]
    state.write_bytes(damaged)
    assert json.loads(state.with_name("prod.json.bak").read_text())["checkpoint"]["latest"], "the page names it"
    yield
    yield
    assert state.with_name("prod.json.damaged").read_bytes() == damaged


SCENES: dict[str, tuple[Scene, dict[str, str]]] = {
    "failed-deploy": (
        failed_deploy,
        {
            "cloudmodel up --stack prod --yes": """…
error: aws:sagemaker/endpoint:Endpoint 'endpoint': sagemaker UpdateEndpoint: ResourceLimitExceeded: … (ask for a …)
  where: urn:pulumi:prod::shop::cloudmodel:aws:Endpoint$aws:sagemaker/endpoint:Endpoint::endpoint
  next:  mend the cause and run the same command again; what succeeded is recorded
  read:  docs/runbooks/failed-deploy.md"""
        },
    ),
    "silent-rollback": (silent_rollback, {}),
    "stuck-lock": (stuck_lock, {"cloudmodel history --stack prod --limit 1": "VERSION  KIND  …\n… succeeded  …"}),
    "lost-state": (lost_state, {}),
    "corrupt-state": (
        corrupt_state,
        {
            "cloudmodel state verify --stack prod": """error: the state of prod is damaged: …
  where: stack prod
  next:  it was left as it is; … prod.json.bak, … `cloudmodel state rebuild --stack prod` makes one anew
  read:  docs/runbooks/corrupt-state.md"""
        },
    ),
}
"""By the name of the page, with what its commands print otherwise, as the page says."""
