"""Where a model spends its time, node by node, by onnxruntime's own profiler. Profiling slows a model down, so these
are shares and never latencies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

RUNS = 30
EIGHT_BITS = frozenset({"Conv", "FusedConv", "NhwcFusedConv", "MatMul", "FusedMatMul", "Gemm", "FusedGemm",
                        "ConvTranspose", "Attention", "LSTM"})  # fmt: skip
"""Operators whose arithmetic 8 bits can make faster; all others keep the time they take."""


def profile(model: Path, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """`{"name", "operator", "share"}` of every node as onnxruntime runs it, the longest first; shares add up to 1."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    for _ in range(RUNS):
        session.run(None, inputs)
    path = Path(session.end_profiling())
    events = json.loads(path.read_text())
    path.unlink()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[name, event["args"].get("op_name", "")].append(event["dur"])
    # The mean of the faster half: one call that was interrupted must not count as the node's own time.
    spent = {key: fmean(sorted(each)[: max(1, len(each) // 2)]) for key, each in times.items()}
    total = sum(spent.values()) or 1.0
    order = sorted(spent.items(), key=lambda item: (-item[1], item[0]))
    return [{"name": name, "operator": operator, "share": time / total} for (name, operator), time in order]


def by_operator(nodes: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """The share of every operator, the largest first."""
    shares: dict[str, float] = defaultdict(float)
    for node in nodes:
        shares[node["operator"]] += node["share"]
    return sorted(shares.items(), key=lambda item: -item[1])


def why(nodes: Sequence[dict[str, Any]], *, tried: bool = False) -> str:
    """One sentence for a reader: what the time goes into, and how much of it 8 bits cannot touch; with `tried`, that
    they make the rest slower on this processor, as was measured."""
    shares = by_operator(nodes)
    most = ", ".join(f"{share:.0%} {operator}" for operator, share in shares[:3])
    fixed = sum(share for operator, share in shares if operator not in EIGHT_BITS)
    rest = ", and the others are slower in 8 bits on this processor" if tried else ""
    return f"its time goes into {most}; {fixed:.0%} is spent in operators that 8 bits do not make faster{rest}"
