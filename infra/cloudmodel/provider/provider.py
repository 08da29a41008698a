"""The AWS provider: one object that the embedded engine talks to, in pulumi_aws 7.x words.

Everything generic is here and driven by the tables of rules/: check, diff, previews, errors for types that it does
not have. What is special to a type is in the file of its service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from cloudmodel.core.errors import Unsupported
from cloudmodel.core.resource import (
    UNKNOWN,
    Checked,
    Difference,
    Live,
    Properties,
    ResourceFailure,
)
from cloudmodel.provider import (
    autoscaling,
    checks,
    cloudwatch,
    config,
    diffs,
    ec2,
    iam,
    iam_account,
    kms,
    logs,
    s3,
    sagemaker,
    sns,
    sts,
)
from cloudmodel.provider.checks import DEFAULTS
from cloudmodel.provider.cloud import Account, Cloud, Heard
from cloudmodel.provider.managed import Managed
from cloudmodel.provider.rules import RULES
from cloudmodel.provider.rules.form import Rule
from cloudmodel.provider.waiters import Waiter

WAY_OUT = "declare it for stacks whose target is aws only: Pulumi's own provider has all of pulumi_aws"
# Changes that leave the outputs as they are.
QUIET = ("tags", "forceDestroy", "skipDestroy")
MANAGED: Mapping[str, Managed] = {
    each.type: each
    for service in (s3, kms, iam, iam_account, sagemaker, autoscaling, cloudwatch, logs, sns, ec2)
    for each in service.TYPES
}
FUNCTIONS: Mapping[str, Callable[[Cloud, Properties], Properties]] = {
    **sts.FUNCTIONS,
    **ec2.FUNCTIONS,
    **iam.FUNCTIONS,
}


class AwsProvider:
    """Implements core.resource.Provider for AWS with boto3.

    `endpoint_url` sends every call to one address, the local AWS; `waiter` is how it waits for the cloud; `heard` is
    told of each call.
    """

    def __init__(
        self, endpoint_url: str | None = None, waiter: Waiter | None = None, heard: Heard | None = None
    ) -> None:
        self._endpoint_url = endpoint_url
        self._waiter = waiter or Waiter()
        self._heard = heard
        self._account: Account | None = None

    def check_config(self, inputs: Properties) -> Checked:
        return config.check(inputs)

    def configure(self, inputs: Properties) -> None:
        """Raises ResourceFailure without credentials, and for an account that aws:allowedAccountIds does not name."""
        configuration = config.load(inputs)
        account = Account(configuration, self._endpoint_url, self._waiter, self._heard)
        allowed, forbidden = configuration.allowed_accounts, configuration.forbidden_accounts
        if allowed or forbidden:
            if (allowed and account.id not in allowed) or account.id in forbidden:
                raise ResourceFailure(
                    f"the credentials belong to account {account.id}, which this stack must not touch"
                    + (f" (aws:allowedAccountIds: {', '.join(allowed)})" if allowed else ""),
                    request="sts GetCallerIdentity",
                    hint="switch AWS_PROFILE, or correct aws:allowedAccountIds in Pulumi.<stack>.yaml",
                )
        elif not (configuration.skip_credentials or configuration.skip_account):
            account.identity  # noqa: B018  (asked once, here, so that bad credentials fail before any resource)
        self._account = account

    def check(self, urn: str, type: str, olds: Properties | None, news: Properties, seed: bytes) -> Checked:
        tags = self._account.configuration.default_tags if self._account else {}
        return checks.check(_rule(type), urn, olds, news, seed, tags)

    def diff(
        self, urn: str, type: str, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Difference:
        region = self._configured().region
        return diffs.diff(_rule(type), old_inputs, old_outputs, news, region)

    def create(self, urn: str, type: str, inputs: Properties, timeout: float | None, preview: bool) -> Live:
        if preview:
            return _foreseen_create(_rule(type), inputs)
        return _managed(type).create(self._cloud(inputs), inputs, timeout)

    def read(self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties) -> Live | None:
        live = _managed(type).read(self._cloud(inputs, outputs), id, _known(inputs, outputs))
        return live and Live(live.id, live.outputs, _as_inputs(_rule(type), live.inputs, inputs), live.secrets)

    def update(
        self,
        urn: str,
        type: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout: float | None,
        preview: bool,
    ) -> Live:
        if preview:
            return self._foreseen_update(id, _rule(type), old_inputs, old_outputs, news)
        old = _known(old_inputs, old_outputs)
        live = _managed(type).update(self._cloud(news, old_outputs), id, old, news, timeout)
        filled = {
            name: old_outputs[name]
            for name, each in _rule(type).fields.items()
            if each.computed and name in old_outputs
        }
        return Live(live.id, {**filled, **live.outputs}, live.inputs, live.secrets)

    def delete(
        self, urn: str, type: str, id: str, inputs: Properties, outputs: Properties, timeout: float | None
    ) -> None:
        _managed(type).delete(self._cloud(inputs, outputs), id, _known(inputs, outputs), timeout)

    def find(self, urn: str, type: str, inputs: Properties) -> str | None:
        return _managed(type).find(self._cloud(inputs), inputs)

    def standing(self, urn: str, type: str, inputs: Properties) -> str | None:
        """The id of what a stack that asks for these checked inputs has in the cloud now, or None."""
        return _managed(type).standing(self._cloud(inputs), inputs)

    def invoke(self, token: str, arguments: Properties) -> Properties:
        function = FUNCTIONS.get(token)
        if function is None:
            raise Unsupported(f"the local AWS does not do the function {token}", where=token, hint=WAY_OUT)
        return function(self._cloud(arguments), arguments)

    def _foreseen_update(
        self, id: str, rule: Rule, old_inputs: Properties, old_outputs: Properties, news: Properties
    ) -> Live:
        """What an update will give, as far as a preview can know."""
        changes = diffs.diff(rule, old_inputs, old_outputs, news, self._configured().region).changes
        more_than_tags = any(not path.startswith(QUIET) for path in changes)
        kept = (*rule.outputs, *(name for name, each in rule.fields.items() if each.computed))
        known = {name: old_outputs[name] for name in kept if name in old_outputs}
        unknown = dict.fromkeys(rule.volatile, UNKNOWN) if more_than_tags else {}
        return Live(id, {**known, **unknown, **_said(rule, news)}, news)

    def _configured(self) -> Account:
        if self._account is None:
            raise ResourceFailure("the AWS provider is not configured")
        return self._account

    def _cloud(self, *sources: Properties) -> Cloud:
        """The region that a resource names, else the provider's."""
        region = next((each["region"] for each in sources if each.get("region")), None)
        return self._configured().at(region)


def _rule(type: str) -> Rule:
    rule = RULES.get(type)
    if rule is None:
        near = get_close_matches(type, RULES, 1)
        maybe = f"did you mean {near[0]}? else " if near else ""
        raise Unsupported(f"the local AWS does not do {type}", where=type, hint=maybe + WAY_OUT)
    return rule


def _managed(type: str) -> Managed:
    _rule(type)
    return MANAGED[type]


def _known(inputs: Properties, outputs: Properties) -> Properties:
    """All that the state says: live values where it has them, else what was asked for."""
    return {**inputs, **outputs}


def _as_inputs(rule: Rule, live: Properties, said: Properties) -> Properties:
    """The inputs that would give what was read: what the program said, as it is now, and what somebody else added."""
    found = {DEFAULTS: said.get(DEFAULTS, [])}
    for name, value in live.items():
        each = rule.fields[name]
        if name in said:
            found[name] = value if any(diffs.compare(each, name, value, said[name])) else said[name]
        elif not (each.computed or diffs.empty(value) or value == each.default):
            found[name] = value
    return found


def _foreseen_create(rule: Rule, news: Properties) -> Live:
    """What a create will give, as far as a preview can know."""
    silent = [name for name, each in rule.fields.items() if each.computed]
    return Live("", {**dict.fromkeys((*rule.outputs, *silent), UNKNOWN), **_said(rule, news)}, news)


def _said(rule: Rule, news: Properties) -> Properties:
    tags = {"tagsAll": news.get("tags", {})} if "tagsAll" in rule.outputs else {}
    return {**{name: value for name, value in news.items() if name != DEFAULTS}, **tags}
