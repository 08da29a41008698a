"""alt-profanity-check: a vectorizer and a classifier of scikit-learn, two joblib files that are one model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest

from wheels import unpacked

SETTINGS = "version: 1\nname: profanity\nmodel: {source: model, task: text-classification}\n"
SENTENCES = {
    "Hello there, how are you": 0,
    "Lorem Ipsum is simply dummy text of the printing and typesetting industry.": 1,
    "!!!! Click this now!!! -> https://example.com": 0,
    "fuck you": 1,
    "fUcK u": 1,
    "GO TO hElL, you dirty scum": 1,
    "have a nice day": 0,
    "the weather is mild, isn't it?": 0,
    "Would you please send me the report by Friday?": 0,
    "you are a fucking idiot": 1,
    "go to hell, you ASSHOLE!!": 1,
    "what a piece of shit": 1,
}
"""The first six and what is to be said of them stand in the tests of the package's authors."""


def test_words_go_in_and_its_own_probabilities_come_out(stand: Callable[[str], Any], project: Path) -> None:
    data = unpacked("alt-profanity-check==1.9.1") / "profanity_check/data"
    shutil.copytree(data, project / "model", ignore=lambda _, names: [n for n in names if not n.endswith(".joblib")])
    endpoint = stand(SETTINGS)
    assert (endpoint.manifest.format, endpoint.manifest.layout) == ("sklearn", "onnxruntime")
    answers = endpoint.rows([*SENTENCES])
    assert [answer["label"] for answer in answers] == [*SENTENCES.values()]
    vectorizer, model = joblib.load(data / "vectorizer.joblib"), joblib.load(data / "model.joblib")
    own = model.predict_proba(vectorizer.transform([*SENTENCES]))
    for answer, expected in zip(answers, own, strict=True):
        assert answer["probabilities"] == pytest.approx(expected.tolist(), abs=1e-4)
