"""Figures of segments."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile

from sightsound import Segment, SightsoundError, plot_sound, plot_wordcloud
from sightsound.plot import sounds

matplotlib = pytest.importorskip("matplotlib", reason="needs the extra `plot`")
pytest.importorskip("wordcloud", reason="needs the extra `plot`")

RATE = 16000


@pytest.fixture
def tone(tmp_path):
    """Return a file with a second of silence and a second of a tone of 2 kHz."""
    samples = np.concatenate([np.zeros(RATE), 0.5 * np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE)])
    soundfile.write(tmp_path / "tone.wav", samples.astype(np.float32), RATE, "FLOAT")
    return tmp_path / "tone.wav"


def test_a_recording_is_drawn_with_its_segments(tone, tmp_path):
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_sound(tone, [Segment("Beep $x$", 1, 2, 0.9, 1.0)], 2.0, tmp_path / "a.svg")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text())
    assert {"tone.wav", "Beep $x$", "mean score", "kHz", "seconds"} <= set(texts)


def test_a_recording_without_segments_says_so(tone, tmp_path):
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_sound(tone, [], 2.0, tmp_path / "a.svg")
    assert "no segments" in (tmp_path / "a.svg").read_text()


def test_the_spectrogram_shows_the_tone_at_its_frequency_and_time(tone):
    low, high, levels, rate = sounds._levels(tone, 2.0)
    assert rate == RATE
    assert len(low) == len(high) == len(levels) <= sounds.MAX_COLUMNS
    half = len(low) // 2
    assert high[: half - 1].max() == 0 and high[half + 1 :].min() == pytest.approx(0.5, abs=0.01)
    assert low[half + 1 :].max() == pytest.approx(-0.5, abs=0.01)
    loudest = levels[half + 2 :].argmax(axis=1)
    assert set((loudest * RATE / 512).tolist()) == {2000.0}
    assert (levels[: half - 2] == -80).all()


@pytest.mark.parametrize(("rate", "hz", "axis"), [(8000, 3000, "4"), (48000, 15000, "20"), (384000, 60000, "150")])
def test_the_spectrogram_reaches_to_half_the_rate_of_the_recording(tmp_path, rate, hz, axis):
    samples = 0.5 * np.sin(2 * np.pi * hz * np.arange(rate) / rate)
    soundfile.write(tmp_path / "tone.wav", samples.astype(np.float32), rate, "FLOAT")
    _, _, levels, found = sounds._levels(tmp_path / "tone.wav", 1.0)
    loudest = levels[2:-2].argmax(axis=1) * rate / (2 * (levels.shape[1] - 1))
    assert found == rate and loudest == pytest.approx(hz, abs=40)
    assert axis in draw(tmp_path / "tone.wav", [], 1.0, tmp_path)


def test_the_number_of_columns_does_not_grow_with_the_recording(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(60 * RATE, np.float32), RATE)
    low, _, levels, _ = sounds._levels(tmp_path / "long.wav", 60.0)
    assert sounds.MAX_COLUMNS * 0.9 < len(low) == len(levels) <= sounds.MAX_COLUMNS


def test_the_weight_of_a_class_is_seconds_times_mean_score():
    segments = [Segment("a", 0, 2, 0.5, 1), Segment("b", 0, 1, 0.9, 1), Segment("a", 5, 6, 0.5, 1)]
    assert sounds.segment_weights(segments) == {"a": 1.5, "b": 0.9}


def test_words_are_drawn_in_a_png(tmp_path):
    plot_wordcloud([Segment("Dog", 0, 2, 0.5, 1), Segment("Rain", 0, 1, 0.9, 1)], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_word_cloud_needs_segments(tmp_path):
    with pytest.raises(SightsoundError, match="nothing to draw, there are no segments; lower the threshold"):
        plot_wordcloud([], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def draw(tone, segments, seconds, tmp_path):
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_sound(tone, segments, seconds, tmp_path / "a.svg")
    return re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "a.svg").read_text())


def test_long_recordings_have_an_axis_in_minutes_or_hours(tone, tmp_path):
    assert {"seconds", "1.50"} <= set(draw(tone, [], 2.0, tmp_path))
    assert {"minutes:seconds", "0:30", "4:00"} <= set(draw(tone, [], 250.0, tmp_path))
    assert {"hours:minutes", "0:10", "1:50"} <= set(draw(tone, [], 7000.0, tmp_path))


def test_classes_that_are_not_drawn_are_counted(tone, tmp_path):
    segments = [Segment(f"class {i}", 0, 2, 0.5, 1) for i in range(20)]
    assert "seconds; 2 more classes are not drawn" in draw(tone, segments, 2.0, tmp_path)
