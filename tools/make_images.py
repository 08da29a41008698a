"""Writes `packaging/cloudmodel/catalog/images.json` again from the installed sagemaker-core (Apache-2.0).

    python tools/make_images.py

Its data is `sagemaker/core/image_uri_config/*.json`. Only that is read, not its code: which image fits which machine is
ours to say (the SDK takes newer Graviton families for x86 ones). Review the difference before committing it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "packaging" / "cloudmodel" / "catalog" / "images.json"

FRAMEWORKS = {
    "djl-lmi": ("0.28", "deep-learning"),
    "huggingface": ("4.28", "deep-learning"),
    "pytorch": ("1.12", "deep-learning"),
    "sagemaker-tritonserver": ("23.12", "deep-learning"),
    "sklearn": ("0.23", "algorithms"),
    "tensorflow": ("2.9", "deep-learning"),
    "xgboost": ("1.3", "algorithms"),
}
"""By the SDK's name: the oldest version that is kept (older images have a Python before 3.8), and who owns them."""
APART = ("us-iso", "eu-iso")
"""Regions of closed partitions, which nobody here can speak for."""
ARM_TAGS = {
    ("sklearn", "1.0-1"): "1.0-1-arm64-cpu-py3",
    ("xgboost", "1.3-1"): "1.3-1-arm64",
    ("xgboost", "1.5-1"): "1.5-1-arm64",
}
"""The tags that stand in the SDK's code and not in its data."""
KINDS = {"cpu": "x86_64", "gpu": "x86_64/gpu"}


def data(framework: str) -> dict[str, Any]:
    """One file of the SDK's, without running the SDK."""
    found = distribution("sagemaker-core").locate_file(f"sagemaker/core/image_uri_config/{framework}.json")
    content: dict[str, Any] = json.loads(Path(str(found)).read_text())
    return content


def number(version: str) -> tuple[int, ...]:
    """A version's leading numbers, to be compared."""
    return tuple(int(part) for part in version.split("-")[0].split("."))


def versions(framework: str) -> Iterator[tuple[str, str, Mapping[str, Any], tuple[str, ...]]]:
    """Every kept version: its name (with the base framework's, where it has one), the beginning of its tags, its entry,
    the kinds of machine that it has images for."""
    content, oldest = data(framework), FRAMEWORKS[framework][0]
    for scope in ("inference", "inference_graviton"):
        part = content if "versions" in content and scope == "inference" else content.get(scope, {})
        for version, entry in part.get("versions", {}).items():
            if number(version) < number(oldest):
                continue
            processors = part.get("processors") or entry.get("processors") or [default_processor(framework)]
            kinds = ("arm64",) if scope == "inference_graviton" else tuple(KINDS[each] for each in processors)
            if "registries" in entry:
                yield version, entry.get("tag_prefix", version), entry, kinds
                continue
            for base, inner in entry.items():
                if isinstance(inner, dict) and "registries" in inner and base.startswith("pytorch"):
                    yield (
                        f"{version}-{base}",
                        f"{base.removeprefix('pytorch')}-transformers{version}",
                        inner,
                        kinds,
                    )


def default_processor(framework: str) -> str:
    """What an image runs on of which the SDK does not say it: LMI images hold CUDA, xgboost's are for a CPU."""
    return "gpu" if framework == "djl-lmi" else "cpu"


def tag(framework: str, version: str, prefix: str, entry: Mapping[str, Any], kind: str) -> str:
    """The tag of one image, by the parts that the data names."""
    if kind == "arm64" and (framework, version) in ARM_TAGS:
        return ARM_TAGS[framework, version]
    processor = "gpu" if kind.endswith("gpu") else "cpu"
    silent = framework in ("djl-lmi", "xgboost") or (framework == "sagemaker-tritonserver" and processor == "gpu")
    python = (entry.get("py_versions") or [""])[0]
    container = entry.get("container_version", {}).get(processor, "")
    end = "sagemaker" if kind == "arm64" else ""
    return "-".join(part for part in (prefix, "" if silent else processor, python, container, end) if part)


def rows() -> tuple[dict[str, Any], dict[str, Any]]:
    """The accounts by owner and region, and the images by framework, version and kind of machine."""
    accounts: dict[str, dict[str, str]] = {}
    images: dict[str, Any] = {}
    for framework, (_, owner) in FRAMEWORKS.items():
        for version, prefix, entry, kinds in versions(framework):
            known = accounts.setdefault(owner, {})
            for region, account in entry["registries"].items():
                if not region.startswith(APART):
                    assert known.setdefault(region, account) == account, (framework, version, region)
            for kind in kinds:
                images.setdefault(framework, {}).setdefault(version, {})[kind] = {
                    "repository": entry["repository"],
                    "tag": tag(framework, version, prefix, entry, kind),
                    "present": {region for region in entry["registries"] if not region.startswith(APART)},
                }
    for framework, by_version in images.items():
        everywhere = set(accounts[FRAMEWORKS[framework][1]])
        for kinds_of in by_version.values():
            for row in kinds_of.values():
                row["absent"] = sorted(everywhere - row.pop("present"))
    return accounts, images


def line(key: str, value: Any, indent: int) -> str:
    return f"{' ' * indent}{json.dumps(key)}: {json.dumps(value, sort_keys=True)}"


def written(accounts: Mapping[str, Any], images: Mapping[str, Any]) -> str:
    """The file: a region and a version each have a line of their own, so that a difference can be read."""
    made_from = {"sagemaker-core": distribution("sagemaker-core").version, "on": f"{datetime.now(UTC):%Y-%m-%d}"}
    owners = {name: sorted(found.items()) for name, found in sorted(accounts.items())}
    families = {
        name: sorted(found.items(), key=lambda each: (number(each[0]), each[0])) for name, found in images.items()
    }
    parts = [line("made_from", made_from, 2)]
    for title, groups in (("accounts", owners), ("images", families)):
        blocks = (
            f"    {json.dumps(name)}: {{\n" + ",\n".join(line(key, value, 6) for key, value in entries) + "\n    }"
            for name, entries in groups.items()
        )
        parts.append(f'  "{title}": {{\n' + ",\n".join(blocks) + "\n  }")
    owned = {name: owner for name, (_, owner) in FRAMEWORKS.items()}
    return "{\n" + ",\n".join([*parts, line("owners", owned, 2)]) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(written(*rows()))
