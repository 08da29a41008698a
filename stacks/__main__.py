from pathlib import Path

from cloudmodel.program.build import build

build(Path(__file__).parent)
