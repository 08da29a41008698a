"""`torch.export`'s `.pt2`: which of its members are bare numbers. The others are pickles, loaded with all their power.

Source: torch's export/pt2_archive/_package.py (`_load_state_dict`, `_load_constants`).
"""

from __future__ import annotations

import json
import posixpath

CONFIGS = "_config.json"
FOLDERS = ("data/weights/", "data/constants/")


def is_config(name: str) -> bool:
    """Whether a member tells how weights or constants are kept."""
    return name.endswith(CONFIGS) and any(folder in name for folder in FOLDERS)


def bare(configs: dict[str, bytes]) -> set[str]:
    """The members that every configuration calls raw tensors; none of one that makes no sense."""
    raw: set[str] = set()
    pickled: set[str] = set()
    for name, text in configs.items():
        try:
            entries = list(json.loads(text)["config"].values())
            for entry in entries:
                path = posixpath.join(posixpath.dirname(name), entry["path_name"])
                (raw if entry["use_pickle"] is False else pickled).add(path)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return set()
    return raw - pickled
