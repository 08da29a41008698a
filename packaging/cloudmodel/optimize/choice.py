"""The search's last step: of the trials that passed, the one that is asked the final set, once; or why none is."""

from __future__ import annotations

from pathlib import Path

from cloudmodel.optimize import gate, measure
from cloudmodel.optimize import profile as profiles
from cloudmodel.optimize.gate import Verdict
from cloudmodel.optimize.metrics import Metric
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.trials import Found, Trial, Wish, standing, undominated
from cloudmodel.optimize.workshop import Workshop


def choose(found: Found, workshop: Workshop, sets: Sets, metric: Metric, wish: Wish, request: Path) -> None:
    """Say in `found` which trial is chosen and why, or why the model is left as it is."""
    original = workshop.answers(workshop.original.model, workshop.sha256, sets.final)
    found.metric = metric.total(original, sets.final)
    accepted = [trial for trial in found.trials if trial.accepted]
    if found.measured is None:
        # Nothing got that far: the noise floor and the latency are still facts of this machine.
        found.measured = workshop.measure([], request, measure.GLANCE)
    if not accepted:
        found.reason = _leave(found)
        return
    chosen = max(undominated(accepted, metric), key=lambda trial: _merit(trial, metric, wish))
    assert chosen.made is not None
    answers = workshop.answers(chosen.made.model, chosen.made.sha256, sets.final)
    chosen.final = judged = gate.judge(metric, original, answers, sets.final, wish.demand)
    found.verdict, found.needed = judged.verdict, judged.needed
    if judged.verdict is Verdict.MET:
        found.chosen = chosen
        found.reason = f"{chosen.reason}; {judged.reason} on {judged.rows} rows that the search never saw"
    else:
        chosen.accepted = False
        chosen.reason = f"final set: {judged.reason}"
        found.reason = f"{chosen.id} ({chosen.recipe.title}) {judged.verdict}: {judged.reason}"


def _merit(trial: Trial, metric: Metric, wish: Wish) -> tuple[float, ...]:
    """What is asked for first, the rest for breaking ties."""
    standing_of = standing(trial, metric)
    return standing_of[::-1] if wish.objective == "size" else standing_of


def _leave(found: Found) -> str:
    why = profiles.why(found.profile, tried=any(trial.claim == "slower" for trial in found.trials))
    unsure = [trial for trial in found.trials if trial.claim == "inconclusive"]
    if unsure:
        return f"leave it as it is: {unsure[0].reason}; run it again on a quieter machine"
    timed = [trial for trial in found.trials if trial.ratio is not None and trial.claim is not None]
    if not timed:
        # Where none could even be made, and all for one reason, that is the reason.
        reasons = {trial.reason.partition(": ")[2] for trial in found.trials if trial.made is None}
        if len(reasons) == 1 and all(trial.made is None for trial in found.trials):
            return f"leave it as it is: {reasons.pop()}"
        return f"leave it as it is: no trial passed; {why}"
    best = max(timed, key=lambda trial: trial.ratio.mid if trial.ratio else 0.0)
    return f"leave it as it is: the best trial that passed, {best.recipe.title}, is {best.reason}; {why}"
