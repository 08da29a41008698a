"""What the local AWS does not import before it is asked for it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

START = """
import sys
from cloudmodel.localaws.spared import spare_ecs
spare_ecs()
import cloudmodel.localaws.application
print(*(name for name in ("moto.ecs", "moto.ec2") if name in sys.modules))
"""


def test_it_starts_without_moto_s_ec2() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_target_of_ecs_is_looked_for_there(cloud: Any) -> None:
    told = cloud.refused(
        cloud.scaling.register_scalable_target,
        ServiceNamespace="ecs",
        ResourceId="service/default/web",
        ScalableDimension="ecs:service:DesiredCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    assert "Cluster not found" in told["Error"]["Message"]
