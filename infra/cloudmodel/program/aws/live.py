"""Asks SageMaker what stands, with the credentials of the stack's own `aws:` configuration. It only reads."""

from __future__ import annotations

import json
import os
from typing import Any

from cloudmodel.core.errors import CloudmodelError, CredentialsMissing
from cloudmodel.program.aws.local import LOCAL_URL
from cloudmodel.program.deployment import Deployment
from cloudmodel.program.standing import Standing

ABSENT = "Could not find"


def standing(deployment: Deployment) -> Standing | None:
    """The deployment's endpoint as it stands; None where it does not exist, or where no plan depends on it.

    Raises CredentialsMissing, and CloudmodelError where SageMaker does not say: without its answer an update could
    shrink a busy fleet.
    """
    if not deployment.looks:
        return None
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    client = _client(deployment)

    def made(configuration: str) -> bool:
        try:
            client.describe_endpoint_config(EndpointConfigName=configuration)
        except (ClientError, BotoCoreError):
            return False  # then a plan leaves its count open
        return True

    try:
        described = client.describe_endpoint(EndpointName=deployment.name)
    except ClientError as error:
        if ABSENT in str(error.response.get("Error", {}).get("Message")):
            return None
        raise _unanswered(deployment, error) from None
    except NoCredentialsError:
        raise CredentialsMissing("there are no AWS credentials", hint="set AWS_PROFILE, or run aws sso login") from None
    except BotoCoreError as error:
        raise _unanswered(deployment, error) from None
    return Standing(
        configuration=described["EndpointConfigName"],
        settled=described["EndpointStatus"] == "InService",
        instances={
            each["VariantName"]: each["DesiredInstanceCount"]
            for each in described.get("ProductionVariants", ())
            if "DesiredInstanceCount" in each
        },
        made=made,
    )


def _unanswered(deployment: Deployment, error: Exception) -> CloudmodelError:
    return CloudmodelError(
        f"nobody knows how many instances the endpoint {deployment.name} has: {error}",
        where="sagemaker DescribeEndpoint",
        hint="the role needs sagemaker:DescribeEndpoint; then run the same command again",
    )


def _client(deployment: Deployment) -> Any:
    import boto3
    import botocore.session
    from botocore.config import Config

    url = os.environ.get(LOCAL_URL)
    if url:
        nowhere = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None), **nowhere})
        keys = boto3.session.Session("local", "local", region_name=deployment.region, botocore_session=session)
        return keys.client("sagemaker", endpoint_url=url, config=Config(proxies={}))
    if deployment.settings.target == "local":
        raise CloudmodelError("a local stack is planned without its local AWS", where=LOCAL_URL, hint="cloudmodel up")
    return _real(deployment.region).client("sagemaker")


def _real(region: str) -> Any:
    """A session as Pulumi's own aws plugin makes it of the stack's configuration."""
    import boto3
    import pulumi

    config = pulumi.Config("aws")
    session = boto3.session.Session(
        aws_access_key_id=config.get("accessKey"),
        aws_secret_access_key=config.get("secretKey"),
        aws_session_token=config.get("token"),
        profile_name=config.get("profile"),
        region_name=region,
    )
    roles = json.loads(config.get("assumeRoles") or "[]")
    for role in roles:
        answer = session.client("sts").assume_role(
            RoleArn=role["roleArn"],
            RoleSessionName=role.get("sessionName") or "cloudmodel",
            **({"ExternalId": role["externalId"]} if role.get("externalId") else {}),
        )["Credentials"]
        session = boto3.session.Session(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], region_name=region
        )
    return session
