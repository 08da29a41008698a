"""The Pulumi program of this project: cloudmodel.yaml and the stack's settings become resources."""

from pathlib import Path

from cloudmodel.program.build import build

build(Path(__file__).parent)
