"""Pulumi's official engine on a project's stack, through its Automation API."""
