"""Who acts: the account is compared before anything else, and credentials that end in the middle lose nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud import EXPIRED, Cloud, order_faults
from cloudmodel.cli.main import answer
from cloudmodel.core.errors import CloudmodelError, CredentialsMissing
from cloudmodel.deploy import account
from cloudmodel.deploy.engines import Options
from cloudmodel.engine.step import Event
from cloudmodel.localaws import server
from cloudmodel.localaws.identity import ACCOUNT, Running
from cloudmodel.settings.load import load_project, load_stack

OTHER = "999988887777"
ROLE = f"arn:aws:iam::{OTHER}:role/deployer"
ENGINES = ["embedded", pytest.param("official", marks=pytest.mark.official_engine)]
PROD = """
config:
  cloudmodel:target: aws
  cloudmodel:bundle: sha256:{digest}
  aws:region: eu-west-1
  aws:allowedAccountIds: {allowed}
{more}
"""


def unheard(_: Event) -> None: ...


@pytest.fixture(scope="module")
def running(place: Callable[[], Any]) -> Iterator[Running]:
    yield server.start(place().folder / ".cloudmodel/local", region="us-east-1")


@pytest.fixture
def prod(
    place: Callable[[], Any], running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """Writes a stack of a real account; what would go to AWS goes to the local one."""
    project = place()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(*allowed: str, **more: Any) -> Any:
        lines = "\n".join(f"  aws:{name}: {json.dumps(value)}" for name, value in more.items())
        project.write("Pulumi.prod.yaml", PROD.format(digest="0" * 64, allowed=json.dumps(allowed), more=lines))
        return project

    yield write
    order_faults(running)
    (project.folder / "Pulumi.prod.yaml").unlink(missing_ok=True)


def identified(project: Any) -> str:
    settings = load_stack(load_project(project.folder), "prod")
    return account.identify(settings, settings.raw)


def test_the_account_is_the_one_that_sts_names(prod: Callable[..., Any]) -> None:
    assert identified(prod(ACCOUNT)) == ACCOUNT
    assert identified(prod(OTHER, assumeRoles=[{"roleArn": ROLE, "externalId": "xx"}])) == OTHER


def without(monkeypatch: pytest.MonkeyPatch, _: Running) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")


def with_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch, _: Running) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")


def expired(_: pytest.MonkeyPatch, running: Running) -> None:
    order_faults(running, EXPIRED | {"service": "sts"})


def unreachable(monkeypatch: pytest.MonkeyPatch, _: Running) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def as_ever(_: pytest.MonkeyPatch, __: Running) -> None: ...


ROWS: list[tuple[str, Callable[[pytest.MonkeyPatch, Running], None], dict[str, Any], int, list[str]]] = [
    ("of another account", as_ever, {"allowed": [OTHER]}, 3, [ACCOUNT, OTHER, "aws:allowedAccountIds", "AWS_PROFILE"]),
    ("forbidden", as_ever, {"forbiddenAccountIds": [ACCOUNT]}, 3, [ACCOUNT, "AWS_PROFILE"]),
    ("none", without, {}, 3, ["no credentials", "aws sso login"]),
    ("no such profile", with_a_profile_that_is_not_there, {}, 3, ["nobody", "aws sso login"]),
    ("expired", expired, {}, 3, ["ExpiredToken", "aws sso login"]),
    ("nobody answers", unreachable, {}, 1, ["STS does not answer"]),
    ("a role without a name", as_ever, {"assumeRoles": [{"sessionName": "x"}]}, 2, ["roleArn"]),
]


@pytest.mark.parametrize(("what", "spoil", "settings", "code", "fragments"), ROWS, ids=[row[0] for row in ROWS])
def test_credentials_that_will_not_do(
    prod: Callable[..., Any],
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    spoil: Callable[[pytest.MonkeyPatch, Running], None],
    settings: dict[str, Any],
    code: int,
    fragments: list[str],
) -> None:
    project = prod(*settings.pop("allowed", [ACCOUNT]), **settings)
    spoil(monkeypatch, running)
    with pytest.raises(CloudmodelError) as raised:
        identified(project)
    shown = json.dumps(raised.value.as_json())
    assert raised.value.code == code, shown
    assert raised.value.hint
    for fragment in fragments:
        assert fragment in shown


@pytest.mark.official_engine
def test_the_official_engine_asks_before_it_opens_a_stack(
    prod: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = prod(OTHER)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    assert answer(["-C", str(project.folder), "preview", "--stack", "prod", "--json"]) == 3
    told = json.loads(capfd.readouterr().out)
    assert told["error"] == "CredentialsMissing" and ACCOUNT in told["message"]
    assert not (tmp_path / ".pulumi").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_local_stack_of_another_account_is_refused(place: Callable[[], Any], engine: str) -> None:
    project = place()
    project.settings()
    project.write(
        "Pulumi.local.yaml",
        (project.folder / "Pulumi.local.yaml").read_text() + f'  aws:allowedAccountIds: ["{OTHER}"]\n',
    )
    with pytest.raises(CredentialsMissing, match=ACCOUNT):
        project.engine(engine).preview(Options(), unheard)


@pytest.mark.parametrize("engine", ENGINES)
def test_credentials_that_end_in_the_middle_lose_nothing(
    place: Callable[[], Any], running: Running, engine: str
) -> None:
    project = place()
    order_faults(running, EXPIRED | {"service": "sns", "operation": "CreateTopic", "after": 1})
    with pytest.raises(CredentialsMissing, match="in the middle of the run") as raised:
        project.engine(engine).up(Options(parallel=1), unheard)
    assert "what succeeded is recorded" in str(raised.value.hint)
    assert raised.value.details["failed"]
    order_faults(running)
    made = [each for each in project.engine(engine).export_state()["deployment"]["resources"] if "sns" in each["type"]]
    assert len(made) == 1

    summary = project.engine(engine).up(Options(), unheard).summary
    assert summary["create"] == 1 and summary["same"] == 2
    topics = Cloud(running.endpoint_url, "us-east-1").client("sns").list_topics()["Topics"]
    assert len(topics) == 2
    project.engine(engine).destroy(Options(), unheard)
