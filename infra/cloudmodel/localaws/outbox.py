"""What topics send by HTTP: in threads of its own, so that nobody waits for who hears it, and to this machine only.

Moto posts inside of Publish, under the lock of all backends, without a limit of time, to whatever address it was given.
SNS tries again, for hours where it is told so; here each message is sent once.
"""

from __future__ import annotations

import ipaddress
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import moto.sns.models
import requests
from moto.sns.exceptions import SNSInvalidParameter
from moto.sns.models import SNSBackend, Subscription
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

SCHEMES = ("http", "https")
PATIENCE = 15.0
"""Seconds that a subscriber has for its answer, as SNS gives it."""


def is_here(address: str) -> bool:
    """Whether a URL leads to this machine; read as the library reads it that posts."""
    try:
        host = (parse_url(address).host or "").strip("[]")
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (LocationParseError, ValueError):
        return False


class Outbox:
    """Stands where moto's topics look for `requests`."""

    def post(self, url: str, *, json: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Send one message soon. A subscriber that is dead, slow or refuses is told of in the log."""
        kind = {"x-amz-sns-message-type": json["Type"], "x-amz-sns-message-id": json["MessageId"]}
        arguments = (url, dict(json), {**headers, **kind, "x-amz-sns-topic-arn": json["TopicArn"]})
        threading.Thread(target=_send, args=arguments, name=f"to {url}", daemon=True).start()


def _send(url: str, message: dict[str, Any], headers: dict[str, str]) -> None:
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between this machine and itself
            session.post(url, json=message, headers=headers, timeout=PATIENCE, allow_redirects=False).raise_for_status()
    except requests.RequestException:
        traceback.print_exc(file=sys.stderr)


def mend_topics() -> None:
    """Let moto's topics send this way, refuse addresses elsewhere, and go on where one subscriber cannot be told."""
    moto.sns.models.requests = Outbox()  # type: ignore[attr-defined, assignment]
    subscribe: Callable[..., Any] = SNSBackend.subscribe
    publish: Callable[..., None] = Subscription.publish

    def subscribe_here(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Any:
        if protocol in SCHEMES and not (endpoint.startswith(f"{protocol}://") and is_here(endpoint)):
            raise SNSInvalidParameter(
                f"Invalid parameter: Endpoint: the local AWS sends to {protocol} addresses of this machine only "
                f"({protocol}://127.0.0.1:PORT/...), and {endpoint} is none. A queue (sqs) hears everything, too."
            )
        return subscribe(self, topic_arn, endpoint, protocol)

    def publish_on(self: Subscription, *arguments: Any, **named: Any) -> None:
        try:
            publish(self, *arguments, **named)
        except Exception:  # SNS delivers after it has answered: no subscriber is the publisher's trouble
            traceback.print_exc(file=sys.stderr)

    SNSBackend.subscribe = subscribe_here  # type: ignore[method-assign]
    Subscription.publish = publish_on  # type: ignore[method-assign]
