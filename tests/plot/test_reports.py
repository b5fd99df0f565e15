"""Figures of reports, advice and candidates, read back from SVG with its text."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from sightsound import Candidate, LinearProbe, plot_advice, plot_candidates, plot_report
from sightsound.learn.advise import Advice
from sightsound.learn.suggestions import NetworkScore
from sightsound.linear.report import Estimate

pytestmark = pytest.mark.usefixtures("few_strengths")

matplotlib = pytest.importorskip("matplotlib", reason="needs the extra `plot`")

CLASSES = ("brick", "$grass$", "gravel")


@pytest.fixture(scope="module")
def report():
    random = np.random.default_rng(0)
    y = np.repeat(CLASSES, 12)
    X = random.normal(size=(36, 4)) + 1.5 * np.eye(3, 4)[np.repeat(range(3), 12)]
    probe = LinearProbe(Cs=(0.1, 1.0), cv=3).fit(X, y)
    return probe.report(X)


def texts(draw, found, tmp_path) -> list[str]:
    """Draw an SVG and return its texts."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw(found, tmp_path / "a.svg")
    return re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text())


def test_a_report_has_confusions_reliability_and_a_learning_curve(report, tmp_path):
    found = texts(plot_report, report, tmp_path)
    assert {f"accuracy {report.accuracy}", f"calibration error {report.error:.3f}", "learning curve"} <= set(found)
    for name in CLASSES:
        assert found.count(name) == 2, "as true and as predicted class, dollar signs as they are"


def test_advice_has_counts_networks_a_curve_and_confusions(report, tmp_path):
    networks = [NetworkScore(name, 4, report.accuracy, report.neighbours, report) for name in ("one.net", "two.net")]
    counts = tuple((f"class {i}", 40 - i) for i in range(40))
    found = texts(plot_advice, Advice(counts, 1.0, (), tuple(networks), None, ()), tmp_path)
    assert {"one.net", "two.net", "linear probe", "5 nearest neighbours", "learning curve"} <= set(found)
    assert "class 29" in found and "class 30" not in found


def test_candidates_have_names_and_times_if_these_are_known(tmp_path):
    candidates = [
        Candidate("one.net", ("one.net",), Estimate(0.8, 0.7, 0.9), 0.8, milliseconds=12.4),
        Candidate("two.net", ("two.net",), Estimate(0.6, 0.5, 0.7), 0.6),
    ]
    found = texts(plot_candidates, candidates, tmp_path)
    assert {"one.net", "two.net", "12 ms", "accuracy on held-out items, 95 % interval"} <= set(found)
    assert sum(text.endswith(" ms") for text in found) == 1


def test_many_classes_are_counted_or_numbered(report, tmp_path):
    counts = tuple((f"class {i}", 40 - i) for i in range(40))
    network = NetworkScore("one.net", 4, report.accuracy, report.neighbours, report)
    found = texts(plot_advice, Advice(counts, 1.0, (), (network,), None, ()), tmp_path)
    assert "items of each class (10 more classes are not drawn)" in found
    many = dataclasses.replace(report, classes=report.classes * 11, confusion=tuple(map(tuple, np.eye(33, dtype=int))))
    found = texts(plot_report, many, tmp_path)
    assert {f"{axis} (number of the class in sorted order, from 0)" for axis in ("predicted", "true")} <= set(found)
