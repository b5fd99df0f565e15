"""The bubble plot of a comparison, read back from SVG with its text, and from the figure itself."""

from __future__ import annotations

import re
from contextlib import contextmanager

import numpy as np
import pytest

from sightsound import ComparedModel, ModelComparison, SightsoundError, plot_comparison
from sightsound.linear.report import Estimate
from sightsound.plot import comparison as module

matplotlib = pytest.importorskip("matplotlib", reason="needs the extra `plot`")


def model(name, accuracy, time, size=1_000_000, **more):
    estimate = Estimate(accuracy, accuracy - 0.05, accuracy + 0.03)
    return ComparedModel(name, probe=estimate, relative_network=time, relative_total=time, size=size, **more)


def comparison(*models):
    return ModelComparison(tuple(models), "birds", "image", 20, ("a", "b"), 0.5, 5, "a processor, 2 cores")


MODELS = (model("$one$.net", 0.8, 1.0), model("two.net", 0.7, 2.0, 4_000_000), model("three.net", 0.9, 4.0, 0))
FAILED = ComparedModel("failed.net", reason="no luck")


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw, and return the axes as they were when the file was to be written."""
    kept = []

    @contextmanager
    def figure(out, width, height):
        with original(out, width, height) as made:
            yield made
            kept.append(made)

    original = module.figure
    monkeypatch.setattr(module, "figure", figure)

    def run(found, **options):
        plot_comparison(found, tmp_path / "a.png", **options)
        assert (tmp_path / "a.png").stat().st_size > 10_000
        return kept[-1].axes[0]

    return run


def test_the_svg_has_the_names_sizes_and_axes(tmp_path):
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_comparison(comparison(*MODELS, FAILED), tmp_path / "a.svg")
    found = set(re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text()))
    assert {"$one$.net", "two.net", "three.net", "4 MB", "1 MB", "Pareto front", "size on disk"} <= found
    assert "20 images of 2 classes, 95 % intervals" in found and "failed.net" not in found
    assert any(text.startswith("time of the network alone, relative to the fastest") for text in found)


def test_bubbles_stand_at_time_and_accuracy_and_their_area_is_the_size(drawn):
    from matplotlib.collections import PathCollection

    axes = drawn(comparison(*MODELS))
    bubbles = [each for each in axes.collections if isinstance(each, PathCollection) and len(each.get_offsets())]
    places = [tuple(each.get_offsets()[0]) for each in bubbles]
    assert places == [(1.0, pytest.approx(80)), (2.0, pytest.approx(70)), (4.0, pytest.approx(90))]
    first, second, third = (float(each.get_sizes()[0]) for each in bubbles)
    assert second == pytest.approx(4 * first) and 0 < third < first, "one without a file can be seen"
    assert axes.get_xscale() == "log"
    bars = [line for each in axes.containers for line in each.lines[2]]
    ends = [bar.get_segments()[0][:, 1].tolist() for bar in bars]
    assert ends == [pytest.approx([75, 83]), pytest.approx([65, 73]), pytest.approx([85, 93])]
    front = [line for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert [line.get_xdata().tolist() for line in front] == [[1.0, 4.0]]


def test_names_cover_neither_each_other_nor_bubbles(drawn):
    """Eight networks that are hardly apart."""
    crowd = [model(f"network_{i}.tag_in1k", 0.8 + 0.002 * i, 1 + 0.02 * i, 10**6 * (i + 1)) for i in range(8)]
    axes = drawn(comparison(*crowd, model("far.net", 0.6, 30.0)))
    axes.figure.canvas.draw()
    renderer = axes.figure.canvas.get_renderer()
    boxes = [matplotlib.text.Text.get_window_extent(text, renderer) for text in axes.texts]
    assert len(boxes) == 9
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not [pair for pair in pairs if module._overlap(*pair) > 0]
    room = axes.get_window_extent(renderer)
    assert all(module._outside(box, room) < 1 for box in boxes)


def test_another_accuracy_and_time_can_be_drawn(drawn):
    both = [
        ComparedModel("a.net", top1=Estimate(0.3, 0.2, 0.4), relative_network=1.0, relative_total=3.0),
        model("b.net", 0.8, 1.0),
    ]
    axes = drawn(comparison(*both), accuracy="top1", time="total")
    assert [text.get_text() for text in axes.texts] == ["a.net"]
    assert axes.get_ylabel() == "top-1 accuracy of the network's own classes, %"
    assert axes.get_xlabel().startswith("time with decoding, relative to the fastest")


def test_nothing_to_draw_is_said_and_leaves_no_file(tmp_path):
    with pytest.raises(SightsoundError, match="plot: expected a network with the accuracy top5, got none"):
        plot_comparison(comparison(*MODELS), tmp_path / "a.png", accuracy="top5")
    assert not list(tmp_path.iterdir())


def test_one_network_and_one_place_can_be_drawn(drawn):
    assert len(drawn(comparison(MODELS[0])).texts) == 1
    assert len(drawn(comparison(model("a.net", 0.8, 1.0), model("b.net", 0.8, 1.0))).texts) == 2
    ticks = module._ticks(1.0, 40.0)
    assert {1, 2, 5, 10, 20} <= set(np.round(ticks, 6))
