"""The packages that the bundle brings for containers that lack them, unpacked for this Python and this processor.

    code/wheels/cp312-x86_64/onnxruntime/…

Importing this module puts them behind everything else on the path: what the container has of its own comes first, and
nothing is installed.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

PLACE = Path(__file__).parents[1] / "wheels" / f"cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}"

if PLACE.is_dir() and str(PLACE) not in sys.path:
    sys.path.append(str(PLACE))
