"""I6 where the state is in a bucket: of two runs exactly one holds the stack, wherever they run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest

from cloud import Cloud, order_faults
from cloudmodel.core.errors import CredentialsMissing, StackLocked, UsageError
from cloudmodel.deploy.official.bucket import BackendBucket
from cloudmodel.deploy.official.bucket_lock import BucketLock
from cloudmodel.deploy.official.unfinished import FilePlace, Unfinished
from cloudmodel.engine.holder import me
from cloudmodel.engine.secrets import Secrets, passphrase_source
from cloudmodel.engine.state import State
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import Running

KEY = "team/.cloudmodel/locks/digits/prod.json"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("aws")
    started = server.start(home, region="us-east-1")
    Cloud(started.endpoint_url, "us-east-1").client("s3").create_bucket(Bucket="state")
    yield started
    server.stop(home)


@pytest.fixture
def s3(running: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    client = Cloud(running.endpoint_url, "us-east-1").client("s3")
    client.delete_object(Bucket="state", Key=KEY)
    yield client
    order_faults(running)


def lock(running: Running, bucket: str = "state", later: float = 0) -> BucketLock:
    """The lock as it is seen `later` by S3's clock."""
    url = running.endpoint_url.removeprefix("http://")
    return BucketLock(
        BackendBucket(f"s3://{bucket}/team?endpoint={url}&disableSSL=true&s3ForcePathStyle=true&region=us-east-1"),
        "digits",
        "prod",
        lambda answer: answer["LastModified"] + timedelta(seconds=later),
    )


def test_it_is_taken_given_back_and_taken_again(running: Running, s3: Any) -> None:
    for _ in range(2):
        first = lock(running)
        assert first.acquire("up") == ""
        holder = lock(running).owner()
        assert holder is not None and holder.host == socket.gethostname() and holder.operation == "up"
        with pytest.raises(StackLocked) as refused:
            lock(running).acquire("destroy")
        assert refused.value.code == 16
        for fragment in (holder.owner, holder.host, str(holder.pid), "up by", "for "):
            assert fragment in refused.value.message
        assert f"state unlock --stack prod --id {holder.id}" in str(refused.value.hint)
        first.release()
        assert lock(running).owner() is None


def test_of_many_at_once_exactly_one_has_it(running: Running, s3: Any) -> None:
    together = Barrier(8)

    def attempt(_: int) -> bool:
        mine = lock(running)
        mine.owner()  # the client is made before the race
        together.wait(60)
        try:
            mine.acquire("up")
        except StackLocked:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert sum(pool.map(attempt, range(8))) == 1
            lock(running).unlock(lock(running).owner().id)  # type: ignore[union-attr]


def test_a_lock_is_broken_by_its_id_only_and_its_holder_leaves_the_next_ones_alone(running: Running, s3: Any) -> None:
    broken = lock(running)
    broken.acquire("up")
    holder = lock(running).owner()
    assert holder is not None
    with pytest.raises(StackLocked):
        lock(running).unlock("another")
    assert lock(running).unlock(holder.id) == holder
    with pytest.raises(UsageError, match="not locked"):
        lock(running).unlock(holder.id)
    following = lock(running)
    following.acquire("destroy")
    broken.release()
    assert lock(running).owner() is not None
    following.release()


def test_what_a_dead_process_of_this_machine_left_is_taken_over_and_another_machines_is_not(
    running: Running, s3: Any
) -> None:
    dead = replace(me(4, "up"), pid=2**22 + 1)
    s3.put_object(Bucket="state", Key=KEY, Body=json.dumps(asdict(dead)))
    taken = lock(running)
    assert "took over" in taken.acquire("up")
    taken.release()
    s3.put_object(Bucket="state", Key=KEY, Body=json.dumps(asdict(replace(dead, host="build-7"))))
    for later, alive, told in ((240, True, "wait for it; if it is gone"), (301, False, "that run is over")):
        with pytest.raises(StackLocked, match=r"build-7.* last sign of life") as refused:
            lock(running, later=later).acquire("up")
        assert str(refused.value.hint).startswith(told)
        holder = lock(running, later=later).owner()
        assert holder and (holder.lives, holder.over) == (alive, not alive)
    s3.put_object(Bucket="state", Key=KEY, Body=b"not JSON")
    with pytest.raises(StackLocked, match="unreadable"):
        lock(running).acquire("up")
    lock(running).unlock("unreadable")


def test_a_holder_renews_its_own_lock_and_learns_that_it_was_broken(running: Running, s3: Any) -> None:
    mine = lock(running)
    mine.acquire("up")
    mine.renew()
    mine.require()
    holder = BucketLock(lock(running)._bucket, "digits", "prod").owner()  # by the time of S3's own answer
    assert holder and holder.silent is not None and holder.silent < 60
    lock(running).unlock(holder.id)
    for ask in (mine.renew, mine.require):
        with pytest.raises(StackLocked, match="broken"):
            ask()
    assert lock(running).owner() is None


def test_a_holder_hears_that_its_lock_was_broken(running: Running, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudmodel.engine.pulse.EVERY", 0.001)
    lost = Event()
    lock(running).acquire("up", lost.set)
    lock(running).unlock(lock(running).owner().id)  # type: ignore[union-attr]
    assert lost.wait(30)


def test_what_a_rollback_records_is_written_under_its_lock_only(running: Running, s3: Any, tmp_path: Path) -> None:
    mine, place = lock(running), FilePlace(tmp_path / "rollback.json")
    mine.acquire("rollback")
    record = Unfinished(place, "digits", "prod", Secrets(passphrase_source(None, {})), mine.require)
    state = State("digits", "prod")
    record.hand_over(state, state)
    kept = place.read()
    assert kept
    lock(running).unlock(json.loads(s3.get_object(Bucket="state", Key=KEY)["Body"].read())["id"])
    with pytest.raises(StackLocked, match="broken"):
        record.hand_over(replace(state, metadata={"another": 1}), state)
    assert place.read() == kept


def test_a_bucket_that_is_not_there_or_refuses_is_said(running: Running, s3: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist: nowhere"):
        lock(running, "nowhere").acquire("up")
    order_faults(running, {"service": "s3", "status": 403, "code": "AccessDenied"})
    with pytest.raises(CredentialsMissing, match="refuses"):
        lock(running).acquire("up")
