"""The search's decisions, on a workshop whose models, answers and latencies are made up: no machine plays a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cloudmodel.core.errors import ChildDied, StepFailed
from cloudmodel.core.progress import Progress, Report, silent
from cloudmodel.optimize import measure, metrics, recipe, result
from cloudmodel.optimize.bounds import Interval
from cloudmodel.optimize.data import Dataset
from cloudmodel.optimize.gate import Demand, Verdict
from cloudmodel.optimize.measure import Measured
from cloudmodel.optimize.recipe import Recipe
from cloudmodel.optimize.search import Search
from cloudmodel.optimize.sets import Sets
from cloudmodel.optimize.trials import Found, Wish
from cloudmodel.optimize.workshop import Made

NODES = [{"name": f"node{number}", "operator": "Conv", "sqnr_db": float(number)} for number in range(8)]


@dataclass
class Variant:
    """What a recipe makes: how fast, how many wrong answers, how far its vector turns, how large; or what it raises."""

    speed: float = 2.0
    wrong: float = 0.0
    wrong_finally: float | None = None
    turned: float = 0.0
    turned_elsewhere: float | None = None
    size: int = 300
    raises: Exception | None = None


def rows(count: int, start: int) -> Dataset:
    return Dataset({"x": np.arange(start, start + count, dtype=np.float32)[:, None]}, np.zeros(count, int), None, "d")


SETS = Sets(None, rows(50, 10_000), rows(100, 0), rows(800, 1000), "train")


@dataclass
class Bench:
    """Stands in for the workshop; `variants` by the recipe's title, `needs` nodes must stay float for fidelity."""

    variants: Mapping[str, Variant]
    floor: tuple[float, float] = (0.99, 1.01)
    needs: int = 0
    size_bytes: int = 1000
    sha256: str = "original"
    original: Any = field(default_factory=lambda: SimpleNamespace(model=Path("original")))
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    built: list[str] = field(default_factory=list)
    unsure: tuple[measure.Effort, ...] = ()
    efforts: list[measure.Effort] = field(default_factory=list)

    def variant(self, name: str) -> Variant:
        base, _, excluded = name.partition(" exclude=")
        found = self.variants[base]
        if excluded and int(excluded.split()[0]) >= self.needs:
            return Variant(found.speed - 0.05 * int(excluded.split()[0]), size=found.size + 1)
        return found

    def inapplicable(self, recipe: Recipe) -> str | None:
        return "not for this model" if recipe.title == "ort-basic" else None

    def make(self, recipe: Recipe, seconds: float, quick: Dataset | None = None) -> Made:
        self.built.append(recipe.title)
        found = self.variant(recipe.title)
        if found.raises:
            raise found.raises
        return Made(
            Path(recipe.title), "same" if recipe.title in ("slim", "onnxscript") else recipe.title, found.size, []
        )

    def answers(self, model: Path, sha256: str, data: Dataset) -> dict[str, Any]:
        self.asked[str(model), len(data)] += 1
        scores = np.tile(np.array([1.0, 0.99], np.float32), (len(data), 1))
        vector = np.tile(np.array([1.0, 0.0], np.float32), (len(data), 1))
        if str(model) != "original":
            found = self.variant(str(model))
            share = found.wrong_finally if data is SETS.final and found.wrong_finally is not None else found.wrong
            scores[: round(share * len(data))] = [0.99, 1.0]
            elsewhere = float(data.inputs["x"][0, 0]) >= 10_000
            turned = found.turned_elsewhere if elsewhere and found.turned_elsewhere else found.turned
            vector[-1] = [np.cos(turned), np.sin(turned)]
        return {"scores": scores, "vector": vector}

    def request(self, data: Dataset) -> Path:
        return Path("request")

    def measure(self, made: Sequence[Made], request: Path, effort: measure.Effort) -> Measured:
        speeds = [self.variant(str(each.model)).speed for each in made]
        self.efforts.append(effort)
        low, high = (0.8, 1.3) if effort in self.unsure else self.floor
        floor = Interval(low, 1.0, high)
        from cloudmodel.optimize import ratios

        return Measured(
            tuple(Interval(each * 0.99, each, each * 1.01) for each in speeds), floor, 1.0,
            {"steal": 0.0, "switches": 0, "load": 1.0}, ratios.noisy(floor, 0.0),
        )  # fmt: skip

    def rank(self, made: Made, recipe: Recipe, seconds: float) -> list[dict[str, Any]]:
        return NODES

    def profile(self, model: Path, request: Path) -> list[dict[str, Any]]:
        return [{"name": "a", "operator": "Softmax", "share": 0.7}, {"name": "b", "operator": "Conv", "share": 0.3}]


def search(
    bench: Bench, *names: str | Recipe, training: Sequence[str] = (), report: Report = silent, **wish: Any
) -> Found:
    data = SETS.selection
    metric = metrics.fit("accuracy", bench.answers(Path("original"), "", data), data, folder=Path())
    bench.asked.clear()
    recipes = tuple(name if isinstance(name, Recipe) else Recipe(steps=(recipe.step(name),)) for name in names)
    trained = tuple(Recipe(steps=(recipe.step(name),)) for name in training)
    asked = Wish("accuracy", wish.pop("demand", Demand()), wish.pop("objective", "latency"), recipes, trained, **wish)
    found = Search(bench, SETS, metric, asked, report).run()  # type: ignore[arg-type]
    document = result.document(found, metric, SETS, asked, bench.size_bytes, [])
    assert document["chosen"] is None or document["chosen"] in document["front"]
    assert all(trial["reason"] for trial in document["trials"])
    assert document["first_accepted"] is None or document["first_accepted"]["id"] == found.early.id  # type: ignore[union-attr]
    return found


def test_fastest_trial_that_passes_is_chosen_and_only_it_is_asked_the_final_set() -> None:
    bench = Bench({"static-int8": Variant(2.0), "dynamic-int8": Variant(1.5), "weight-only": Variant(0.5)})
    found = search(bench, "dynamic-int8", "static-int8", "weight-only")
    assert found.chosen is not None
    assert found.chosen.recipe.title == "static-int8"
    assert found.verdict is Verdict.MET
    assert "that the search never saw" in found.reason
    assert {name for name, count in bench.asked if count == 800} == {"original", "static-int8"}
    assert found.trials[2].claim == "slower"


def test_first_trial_that_passes_is_told_before_the_next_is_built_and_judged_again_with_the_rest() -> None:
    bench = Bench({"slim": Variant(0.9), "static-int8": Variant(1.5), "dynamic-int8": Variant(2.0)})
    told: list[Progress] = []
    found = search(bench, "slim", "static-int8", "dynamic-int8", report=told.append)
    steps = [each.task if each.task == "accepted" else each.note for each in told if each.task in ("accepted", "build")]
    assert steps == ["slim", "static-int8", "accepted", "dynamic-int8", ""]
    assert found.early is not None
    assert (found.early.id, found.early.ratio.mid) == ("t2", 1.5)
    assert found.chosen is found.trials[2]
    assert {name for name, count in bench.asked if count == 800} == {"original", "dynamic-int8"}


def test_nothing_faster_is_left_as_it_is_with_where_the_time_goes() -> None:
    found = search(Bench({"static-int8": Variant(1.005), "dynamic-int8": Variant(0.7)}), "static-int8", "dynamic-int8")
    assert found.chosen is None
    assert found.verdict is None
    assert found.reason.startswith("leave it as it is: the best trial that passed, static-int8, is not faster")
    assert "70% Softmax" in found.reason
    assert "70% is spent in operators that 8 bits do not make faster" in found.reason


def test_short_look_that_cannot_tell_is_made_longer_once() -> None:
    bench = Bench({"static-int8": Variant(2.0), "dynamic-int8": Variant(1.5)}, unsure=(measure.LOOK,))
    found = search(bench, "static-int8", "dynamic-int8")
    assert found.early is not None
    assert found.early.id == "t1"
    never = Bench(bench.variants, floor=(0.8, 1.3))
    assert search(never, "static-int8", "dynamic-int8").early is None
    assert never.efforts.count(measure.Effort()) == 2  # the longer look, and the finalists


@pytest.mark.parametrize(("floor", "speed"), [((0.8, 1.3), 2.0), ((0.94, 1.06), 1.02)])
def test_busy_machine_is_inconclusive_and_changes_nothing(floor: tuple[float, float], speed: float) -> None:
    found = search(Bench({"static-int8": Variant(speed)}, floor=floor), "static-int8")
    assert found.chosen is None
    assert found.early is None
    assert found.trials[0].claim == "inconclusive"
    assert "inconclusive" in found.reason
    assert "quieter machine" in found.reason


def test_gain_of_many_times_the_noise_is_told_on_a_busy_machine_too() -> None:
    found = search(Bench({"static-int8": Variant(3.0)}, floor=(0.87, 1.12)), "static-int8")
    assert found.chosen is found.trials[0]
    assert found.early is not None


def test_lost_fidelity_is_won_back_by_as_few_float_nodes_as_it_takes() -> None:
    bench = Bench({"static-int8": Variant(2.0, turned=0.8), "dynamic-int8": Variant(1.2)}, needs=3)
    found = search(bench, "static-int8", "dynamic-int8")
    assert "fidelity" in found.trials[0].reason
    assert found.chosen is not None
    assert found.chosen.recipe.steps[0].parameters["exclude"] == ["node0", "node1", "node2"]
    assert found.chosen.id == "t3"
    assert found.sensitivity == NODES
    assert sum("exclude" in title for title in bench.built) <= 4  # log2 of 7 and the whole


def smoothed(strength: float) -> Recipe:
    return Recipe(steps=(recipe.step("smooth", strength=strength), recipe.step("dynamic-int8")))


def test_a_trial_of_several_steps_is_won_back_too() -> None:
    bench = Bench({"smooth + dynamic-int8": Variant(2.0, turned=0.8), "weight-only": Variant(1.2)}, needs=3)
    found = search(bench, smoothed(0.7), "weight-only")
    assert found.chosen is not None
    assert found.chosen.recipe.steps[0] == smoothed(0.7).steps[0]
    assert found.chosen.recipe.steps[1].parameters["exclude"] == ["node0", "node1", "node2"]


def test_of_trials_that_only_smooth_more_or_less_the_one_that_turns_least_goes_on() -> None:
    turned = {0.6: 0.12, 0.7: 0.05, 0.8: 0.05, 0.9: 0.15}
    titles = {each: smoothed(each).title for each in turned}
    bench = Bench({titles[each]: Variant(2.0, turned=angle) for each, angle in turned.items()})
    bench.variants = {**bench.variants, titles[0.8]: Variant(2.0, turned=0.05, turned_elsewhere=0.1)}
    found = search(bench, *map(smoothed, turned))
    assert found.chosen is found.trials[1]
    others = [trial.reason for trial in found.trials if trial is not found.chosen]
    assert all(reason.startswith("another strength turns answers less") for reason in others)
    assert sum(count for (name, rows), count in bench.asked.items() if rows == 50 and name != "original") <= 3


def test_rows_outside_both_sets_tell_of_the_worst_row_too() -> None:
    """The selection set has one row that turned by 0.14 radians; of the rows to calibrate with, one by 0.5."""
    bench = Bench({"static-int8": Variant(2.0, turned=0.14, turned_elsewhere=0.5), "dynamic-int8": Variant(1.2)})
    found = search(bench, "dynamic-int8", "static-int8")
    assert "expected at 0.8776" in found.trials[1].reason
    assert found.chosen is not None
    assert found.chosen.id == "t3"  # won back by a node that stays float
    assert ("dynamic-int8", 50) not in bench.asked  # nothing turned there: no more rows are needed


def test_fidelity_that_no_prefix_brings_back_leaves_the_others() -> None:
    bench = Bench({"static-int8": Variant(2.0, turned=0.8), "dynamic-int8": Variant(1.2)}, needs=99)
    found = search(bench, "static-int8", "dynamic-int8")
    assert found.chosen is not None
    assert found.chosen.recipe.title == "dynamic-int8"


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        (Variant(raises=StepFailed("node x", hint="mend it")), r"node x (mend it)"),
        (Variant(raises=ChildDied("The process was ended by SIGKILL")), "SIGKILL"),
        (Variant(wrong=0.2), "accuracy drops by 0.2 on 100 rows, allowed 0.01"),
        (Variant(turned=0.5), "fidelity: the worst cosine of output 'vector' is 0.8776"),
        (Variant(speed=0.5), "slower: 0.500"),
    ],
)
def test_refused_trial_says_why_and_stops_no_other(variant: Variant, said: str) -> None:
    found = search(Bench({"weight-only": variant, "static-int8": Variant(1.5)}), "weight-only", "static-int8")
    assert said in found.trials[0].reason
    assert found.chosen is found.trials[1]


def test_equal_models_and_inapplicable_recipes_are_not_tried_twice() -> None:
    bench = Bench({"slim": Variant(), "onnxscript": Variant(), "ort-basic": Variant()})
    found = search(bench, "slim", "onnxscript", "ort-basic")
    assert [trial.reason for trial in found.trials[1:]] == ["the same model as t1", "not for this model"]


@pytest.mark.parametrize(
    ("wrong", "demand", "verdict", "needed"),
    [
        (0.0, Demand(max_drop=0.002), Verdict.UNDECIDABLE, range(1490, 1510)),
        (0.009, Demand(max_drop=0.01), Verdict.UNDECIDABLE, range(800, 10_000_000)),
        (0.015, Demand(max_drop=0.01), Verdict.MISSED, None),
    ],
)
def test_final_set_has_the_last_word(wrong: float, demand: Demand, verdict: Verdict, needed: range | None) -> None:
    found = search(Bench({"static-int8": Variant(2.0, wrong_finally=wrong)}), "static-int8", demand=demand)
    assert (found.chosen, found.verdict) == (None, verdict)
    assert found.needed is None if needed is None else found.needed in needed
    assert found.trials[0].reason.startswith("final set:")


def test_training_is_tried_only_where_nothing_else_passed() -> None:
    enough = Bench({"static-int8": Variant(2.0), "slim": Variant(3.0)})
    assert len(search(enough, "static-int8", training=["slim"]).trials) == 1
    missed = Bench({"static-int8": Variant(1.0), "slim": Variant(3.0)})
    found = search(missed, "static-int8", training=["slim"])
    assert found.chosen is not None
    assert found.chosen.recipe.title == "slim"


def test_no_trial_begins_after_the_budget() -> None:
    found = search(Bench({"static-int8": Variant(2.0)}), "static-int8", budget=0.0)
    assert found.trials[0].reason == "not tried: the budget was over"
    assert found.chosen is None


def test_for_size_the_smallest_is_chosen_however_fast() -> None:
    bench = Bench(
        {"static-int8": Variant(0.9, size=300), "dynamic-int8": Variant(3.0, size=400), "slim": Variant(3, size=950)}
    )
    found = search(bench, "static-int8", "dynamic-int8", "slim", objective="size")
    assert found.chosen is not None
    assert found.chosen.recipe.title == "static-int8"
    assert "not smaller: 950 bytes of 1,000" in found.trials[2].reason


def test_only_the_better_half_is_measured_with_care() -> None:
    names = ["static-int8", "dynamic-int8", "weight-only", "slim", "onnxoptimizer", "opset"]
    bench = Bench({name: Variant(1.1 + 0.1 * place, size=300 - place) for place, name in enumerate(names)})
    found = search(bench, *names)
    assert sum(trial.claim is not None for trial in found.trials) == 3
    assert found.chosen is not None
    assert found.chosen.recipe.title == "opset"


def test_of_two_that_are_as_fast_the_smaller_one_is_the_front() -> None:
    """Half a percent is inside the intervals, and 300 bytes of 270 are not."""
    bench = Bench({"static-int8": Variant(2.01, size=300), "dynamic-int8": Variant(2.0, size=270)})
    found = search(bench, "static-int8", "dynamic-int8")
    assert found.chosen is found.trials[1]
    assert all(trial.accepted for trial in found.trials)
    apart = search(Bench({**bench.variants, "static-int8": Variant(2.1, size=300)}), "static-int8", "dynamic-int8")
    assert apart.chosen is apart.trials[0]


def test_what_no_other_beats_is_measured_too() -> None:
    names = ["static-int8", "dynamic-int8", "weight-only", "slim"]
    bench = Bench({name: Variant(1.5 - 0.1 * place, size=300 - place) for place, name in enumerate(names)})
    found = search(bench, *names)
    assert all(trial.accepted for trial in found.trials)
