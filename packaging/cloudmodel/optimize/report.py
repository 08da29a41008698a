"""The report: one HTML file without anything from elsewhere, so that it opens offline and can be kept as evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from typing import Any

from cloudmodel.core import files

TEMPLATE = Path(__file__).with_name("report.html.j2")
WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 20, 45
LABEL = (30, 14)
"""Width and height of a label, in the drawing's units."""
STEPS = (0.1, 0.2, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16)


def write(path: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write the report of an `optimize` document to `path`, atomically. Raises OSError."""
    files.write_text(path, render(name, document))


def render(name: str, document: Mapping[str, Any]) -> str:
    """The report as HTML; everything that comes from a model is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["ratio"] = _ratio
    environment.filters["change"] = lambda value: f"{value:+.4f}"
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(name=name, found=document, chart=chart(document), width=WIDTH, height=HEIGHT)


def chart(document: Mapping[str, Any]) -> dict[str, Any]:
    """Places for a drawing of all timed trials: how many times faster (on a logarithmic axis) against how the metric
    changed, each with its interval; the noise floor as a band, the original at (1, 0)."""
    timed = [trial for trial in document["trials"] if trial["latency_ratio"] and trial["metric_delta"]]
    floor = document["noise_floor"]
    across = [each for trial in timed for each in trial["latency_ratio"].values()] + [1.0, floor["low"], floor["high"]]
    up = [each for trial in timed for each in trial["metric_delta"].values()] + [0.0]
    x_low, x_high = log(min(across)) - 0.05, log(max(across)) + 0.05
    y_low, y_high = _widened(min(up), max(up))

    def x(ratio: float) -> float:
        return round(LEFT + (log(ratio) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def y(change: float) -> float:
        return round(TOP + (y_high - change) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1)

    points = [
        {
            "id": trial["id"],
            "title": trial["title"],
            "kind": _kind(trial, document),
            "x": [x(trial["latency_ratio"][side]) for side in ("low", "mid", "high")],
            "y": [y(trial["metric_delta"][side]) for side in ("low", "mid", "high")],
        }
        for trial in timed
    ]
    band = max(floor["high"], 1 / floor["low"], 1.0)
    return {
        "points": points,
        "labels": _labels(points),
        "band": (x(max(1 / band, exp(x_low))), x(min(band, exp(x_high)))),
        "origin": (x(1.0), y(0.0)),
        "ticks": [(x(step), f"{step:g}") for step in STEPS if x_low <= log(step) <= x_high],
        "rows": [(y(value), f"{value:+.3f}") for value in _rows(y_low, y_high)],
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
    }


def _labels(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A label beside each point; points that lie too close for a label each share one."""
    labels: list[dict[str, Any]] = []
    for point in points:
        x, y = point["x"][1] + 8, point["y"][1] - 8
        near = next((each for each in labels if abs(each["x"] - x) < LABEL[0] and abs(each["y"] - y) < LABEL[1]), None)
        if near is None:
            labels.append({"x": x, "y": y, "text": point["id"]})
        else:
            near["text"] += f", {point['id']}"
    # Near the right edge a label is written to the left of its point.
    for each in labels:
        each["left"] = each["x"] + 7 * len(each["text"]) > WIDTH - RIGHT
        each["x"] = each["x"] - 16 if each["left"] else each["x"]
    return labels


def _kind(trial: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if trial["id"] == document["chosen"]:
        return "chosen"
    return "front" if trial["id"] in document["front"] else "other"


def _widened(low: float, high: float) -> tuple[float, float]:
    room = max(0.002, (high - low) * 0.1)
    return low - room, high + room


def _rows(low: float, high: float) -> Sequence[float]:
    return [low + (high - low) * part / 4 for part in range(5)]


def _ratio(value: Mapping[str, float] | None) -> str:
    return f"{value['mid']:.2f} [{value['low']:.2f}, {value['high']:.2f}]" if value else ""
