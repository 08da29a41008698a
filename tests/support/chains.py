"""A program whose resources are made one after the other: a place to stop a run in."""

from __future__ import annotations


def chain(count: int) -> str:
    """`count` log groups, logs-00 and so on, each after the one before."""
    return f"""
import pulumi
import pulumi_aws as aws
last = None
for number in range({count}):
    name = f"logs-{{number:02}}"
    last = aws.cloudwatch.LogGroup(name, name=name, opts=pulumi.ResourceOptions(depends_on=[last] if last else []))
"""
