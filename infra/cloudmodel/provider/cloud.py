"""One account seen through one configuration: every call of the provider to AWS goes through `Cloud.call`."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cloudmodel.core.resource import ResourceFailure
from cloudmodel.provider.config import Configuration
from cloudmodel.provider.errors import THROTTLED, CallFailed, lost
from cloudmodel.provider.waiters import TookTooLong, Waiter

Answer = dict[str, Any]
Heard = Callable[[str, str], None]

# pulumi_aws's names in `endpoints` where they differ from boto3's.
ENDPOINT_KEYS = {"application-autoscaling": "appautoscaling"}
PROPAGATION_SECONDS = 120.0
ATTEMPTS = 10
LOCAL_ATTEMPTS = 3
# The local AWS takes any key; the user's own are never used for it.
LOCAL_KEY = "local"


class Account:
    """What all regions share: credentials, identity, and one client for each service and region. Safe in threads.

    `endpoint_url` sends every service to one address (the local AWS), which never sees credentials of the machine.
    `heard` is told the service and the operation of each call before it is sent.
    """

    def __init__(
        self, configuration: Configuration, endpoint_url: str | None, waiter: Waiter, heard: Heard | None = None
    ) -> None:
        import boto3

        self.configuration = configuration
        self.endpoint_url = endpoint_url
        self.waiter = waiter
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str, int | None], Any] = {}
        self._identity: Answer | None = None
        local = endpoint_url is not None
        try:
            self._session = boto3.session.Session(
                aws_access_key_id=configuration.access_key or (LOCAL_KEY if local else None),
                aws_secret_access_key=configuration.secret_key or (LOCAL_KEY if local else None),
                aws_session_token=configuration.token,
                region_name=configuration.region,
                profile_name=configuration.profile,
                botocore_session=session(hermetic=local),
            )
        except Exception as error:
            raise ResourceFailure(f"AWS: {error}", hint="see `aws configure list-profiles`") from error
        if heard:
            self._session.events.register("before-call", _telling(heard))
        region = self._session.region_name
        if not region:
            raise ResourceFailure("no AWS region is configured", hint="set aws:region in Pulumi.<stack>.yaml")
        self.region: str = region

    def at(self, region: str | None = None) -> Cloud:
        """The same account, called in `region`; in the configured one without."""
        return Cloud(self, region or self.region)

    @property
    def id(self) -> str:
        """The account's number; empty where skipRequestingAccountId forbids asking."""
        return "" if self.configuration.skip_account else str(self.identity["Account"])

    @property
    def identity(self) -> Answer:
        """STS's answer to GetCallerIdentity, asked once."""
        with self._lock:
            if self._identity is None:
                self._identity = self.at(self.configuration.sts_region).call("sts", "get_caller_identity")
            return self._identity

    def partition(self, region: str) -> str:
        """`aws`, `aws-cn`, `aws-us-gov`, ..."""
        return str(self._session.get_partition_for_region(region))

    def description(self, region: str) -> str:
        """What AWS calls a region in words, from botocore's endpoint data; the region's name where it has none."""
        data = loader().load_data("endpoints")
        known = {name: each["description"] for part in data["partitions"] for name, each in part["regions"].items()}
        return str(known.get(region, region))

    def client(self, service: str, region: str, attempts: int | None = None) -> Any:
        """The boto3 client of a service, which sends a call at most `attempts` times; a session makes one at a time."""
        key = (service, region, attempts)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(*key)
            return self._clients[key]

    def _make(self, service: str, region: str, attempts: int | None) -> Any:
        from botocore.config import Config

        configuration = self.configuration
        endpoint = configuration.endpoints.get(ENDPOINT_KEYS.get(service, service)) or self.endpoint_url
        attempts = attempts or configuration.max_retries or (LOCAL_ATTEMPTS if endpoint else ATTEMPTS)
        path_style = configuration.path_style or endpoint is not None
        return self._session.client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            verify=False if configuration.insecure else None,
            config=Config(
                retries={"mode": configuration.retry_mode or "standard", "total_max_attempts": attempts},
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=32,
                s3={"addressing_style": "path"} if path_style else None,
                proxies={} if self.endpoint_url else None,
            ),
        )


@dataclass(frozen=True)
class Cloud:
    """One account in one region: what a resource type is given to work with."""

    account: Account
    region: str

    @property
    def waiter(self) -> Waiter:
        return self.account.waiter

    @property
    def dns_suffix(self) -> str:
        return "amazonaws.com.cn" if self.account.partition(self.region) == "aws-cn" else "amazonaws.com"

    def arn(self, service: str, rest: str, *, region: bool = True, account: bool = True) -> str:
        """The ARN of something in this account and region."""
        place = f"{self.region if region else ''}:{self.account.id if account else ''}"
        return f"arn:{self.account.partition(self.region)}:{service}:{place}:{rest}"

    def call(self, service: str, operation: str, **parameters: Any) -> Answer:
        """One API call. `operation` is boto3's method name.

        Raises CallFailed for an answer that is an error, ResourceFailure otherwise; it is `uncertain` when the
        cloud may have acted. Throttling and server errors were retried by botocore before that.
        """
        with self._translated(service, operation):
            answer: Answer = getattr(self.account.client(service, self.region), operation)(**parameters)
            return answer

    def find(self, service: str, operation: str, *absent: str, **parameters: Any) -> Answer | None:
        """As `call`; None when the error's code is one of `absent`, or a `code: fragment of its message`."""
        try:
            return self.call(service, operation, **parameters)
        except CallFailed as error:
            if is_one_of(error, absent):
                return None
            raise

    def settle(self, service: str, operation: str, **parameters: Any) -> Answer:
        """As `call`, but repeated while a role or policy is still on its way through IAM (D15), two minutes long."""
        return self._accepted(lambda: self.call(service, operation, **parameters), lambda error: error.propagating)

    def once(self, service: str, operation: str, **parameters: Any) -> Answer:
        """As `settle`, for a call that makes something without a name: where the answer is lost it is not sent again.

        botocore would, and a second thing would stand. What was refused before it did anything is repeated here.
        """

        def ask() -> Answer:
            with self._translated(service, operation):
                answer: Answer = getattr(self.account.client(service, self.region, 1), operation)(**parameters)
                return answer

        return self._accepted(ask, lambda error: error.propagating or error.code in THROTTLED)

    def _accepted(self, ask: Callable[[], Answer], again: Callable[[CallFailed], bool]) -> Answer:
        """The answer of `ask`, which is repeated for two minutes while it fails with an error that `again` names."""
        failure: list[CallFailed] = []

        def attempt() -> Answer | None:
            try:
                return ask()
            except CallFailed as error:
                if not again(error):
                    raise
                failure[:] = [error]
                return None

        try:
            return self.waiter.until(attempt, timeout=PROPAGATION_SECONDS)
        except TookTooLong:
            raise failure[0] from None

    def pages(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
        """The items under `key` of every page of a list operation."""
        with self._translated(service, operation):
            for page in self.account.client(service, self.region).get_paginator(operation).paginate(**parameters):
                yield from page.get(key) or ()

    @contextlib.contextmanager
    def _translated(self, service: str, operation: str) -> Iterator[None]:
        """Turn botocore's errors into ours."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        name = "".join(part.capitalize() for part in operation.split("_"))
        request = f"{service} {name}"
        try:
            yield
        except ClientError as error:
            details, metadata = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
            raise CallFailed(
                service,
                error.operation_name,
                str(details.get("Code", "Unknown")),
                str(details.get("Message", "")) or "no message",
                status=int(metadata.get("HTTPStatusCode", 0)),
                request_id=str(metadata.get("RequestId", "")),
                retried=int(metadata.get("RetryAttempts", 0)) > 0,
            ) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise ResourceFailure(
                f"{request}: {error}",
                request=request,
                hint="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`",
            ) from error
        except (HTTPClientError, ConnectionError) as error:
            raise lost(service, name, error, endpoint=self.account.endpoint_url) from error
        except BotoCoreError as error:
            raise ResourceFailure(f"{request}: {error}", request=request) from error


def _telling(heard: Heard) -> Callable[..., None]:
    """A handler of botocore's event `before-call`."""

    def tell(model: Any, **_: Any) -> None:
        heard(model.service_model.service_id.lower(), model.name)

    return tell


@functools.cache
def loader() -> Any:
    """botocore's service descriptions, parsed once a process: they are most of what a client costs to make."""
    import botocore.loaders

    return botocore.loaders.create_loader(os.environ.get("AWS_DATA_PATH"))


def session(*, hermetic: bool) -> Any:
    """A botocore session. A hermetic one knows nothing of this machine's profiles: none can break or leak into it."""
    import botocore.session

    nowhere = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    variables = {"profile": (None, None, None, None), **nowhere} if hermetic else None
    made = botocore.session.Session(session_vars=variables)
    made.register_component("data_loader", loader())
    return made


def is_one_of(error: CallFailed, wanted: tuple[str, ...]) -> bool:
    """True when `error` has one of the codes, or one of the `code: fragment` pairs."""
    for each in wanted:
        code, _, fragment = each.partition(": ")
        if error.code == code and fragment.lower() in error.text.lower():
            return True
    return False
