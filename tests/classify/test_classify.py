"""Classifying one picture, one sound and one stream, with networks whose scores can be computed by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import made
import sightsound
from sightsound import Option, SegmentRules, SightsoundError, classify_image, classify_sound, classify_stream, hookimpl
from sightsound.classify.segments import sort_segments
from sightsound.contract.errors import MediaError, NotMedia, PluginError

RATE, loud = made.RATE, made.loud_and_silent


@pytest.fixture
def model(tiny):
    return tiny.load("loudness.tiny")


@pytest.fixture
def wav(tmp_path):
    def write(samples, rate=RATE, subtype="FLOAT"):
        path = tmp_path / "sound.wav"
        soundfile.write(path, samples, rate, subtype)
        return path

    return write


# -- sounds ------------------------------------------------------------------------------------------------------


def test_a_loud_stretch_is_a_segment_with_its_seconds(model, wav):
    found = classify_sound(wav(loud(3, 4)), model=model, rules=SegmentRules(include=("loud",)))
    (segment,) = found.segments
    assert (segment.label, segment.start, segment.stop, segment.channel) == ("loud", 0.0, 3.5, None)
    assert segment.peak == pytest.approx(0.9, rel=1e-3) and 0.45 < segment.mean < 0.9
    assert found.outcome.seconds == 7.0


def test_every_window_has_its_scores(model, wav):
    found = classify_sound(wav(loud(1, 1.25)), model=model)
    np.testing.assert_allclose(found.windows.spans, [[0, 1], [0.5, 1.5], [1, 2], [1.5, 2.25]])
    np.testing.assert_allclose(found.windows.scores[:, 1], [0.9, 0.45, 0, 0], atol=0.01)
    assert found.windows.labels == ("quiet", "loud") and found.windows.channels is None


def test_the_best_classes_are_those_of_the_mean_over_all_windows(model, wav):
    found = classify_sound(wav(loud(1, 1.25)), model=model)
    best, other = found.top
    assert (best.label, other.label) == ("quiet", "loud")
    assert other.score == pytest.approx(found.windows.scores[:, 1].mean(), rel=1e-3)
    assert classify_sound(wav(loud(1, 1.25)), model=model, k=1).top == (best,)


def test_samples_give_what_their_file_gives(model, wav):
    samples = loud(2, 1, 0.7)
    from_file, from_array = classify_sound(wav(samples), model=model), classify_sound(samples, RATE, model=model)
    assert from_file.segments == from_array.segments and from_file.outcome.seconds == from_array.outcome.seconds
    np.testing.assert_array_equal(from_file.windows.scores, from_array.windows.scores)


@pytest.mark.parametrize(("dtype", "scale"), [(np.int16, 2**15), (np.int32, 2**31), (np.float64, 1)])
def test_integers_are_scaled_as_in_a_wav(model, dtype, scale):
    samples = (loud(1, 1) * (0.5 * scale)).astype(dtype)
    found = classify_sound(samples, RATE, model=model)
    np.testing.assert_allclose(found.windows.scores[0, 1], 0.45, atol=1e-3)


def test_samples_at_another_rate_are_resampled(model):
    found = classify_sound(np.repeat(loud(2), 5), 5 * RATE, model=model)
    assert len(found.windows.spans) == 3 and found.windows.spans[-1, 1] == pytest.approx(2.0)


def test_channels_are_averaged_or_classified_each_by_itself(model, wav):
    both = np.stack([loud(3), np.zeros(3 * RATE, np.float32)], axis=1)
    mean = classify_sound(wav(both), model=model)
    assert mean.windows.scores[0, 1] == pytest.approx(0.45, abs=1e-3)
    for found in (
        classify_sound(wav(both), model=model, channels="each"),
        classify_sound(both, RATE, model=model, channels="each"),
    ):
        heard = [(s.label, s.channel, s.start, s.stop) for s in found.segments]
        assert heard == [("loud", 0, 0, 3), ("quiet", 1, 0, 3)]
        assert found.windows.channels.tolist() == [0] * 5 + [1] * 5 and found.windows.scores.shape == (10, 2)


def test_a_mono_file_has_one_channel(model, wav):
    found = classify_sound(wav(loud(2)), model=model, channels="each")
    assert {s.channel for s in found.segments} == {0}


def test_a_file_shorter_than_any_segment_has_its_classes(model, wav):
    found = classify_sound(wav(loud(0.2)), model=model)
    assert len(found.top) == 2 and found.windows.spans.tolist() == [[0, 0.2]]
    assert found.segments and {(s.start, s.stop) for s in found.segments} == {(0, 0.2)}, "it is all that there is"


@pytest.mark.parametrize(
    ("samples", "options", "text"),
    [
        (np.zeros(9), {}, "sample_rate: expected Hz with an array"),
        (np.zeros(0, np.float32), {"sample_rate": RATE}, "sound: expected samples, got none"),
        (np.zeros((2, 2, 2)), {"sample_rate": RATE}, r"expected samples \(n,\) or \(n, channels\)"),
        (np.zeros(9, complex), {"sample_rate": RATE}, "got complex128"),
        (np.zeros(9, np.uint16), {"sample_rate": RATE}, "got uint16"),
        (np.zeros(9, np.int64), {"sample_rate": RATE}, "got int64"),
        (np.zeros((2, 1600)), {"sample_rate": RATE}, "got 1600 channels; transpose it"),
        (np.zeros((9, 0)), {"sample_rate": RATE}, "0 channels, expected at least 1"),
        (np.zeros(9), {"sample_rate": 3}, "sample rate 3 Hz, expected 1000 to 768000"),
        (np.full(RATE, np.nan), {"sample_rate": RATE}, "the sample at second 0.000 is nan"),
        (np.zeros(RATE), {"sample_rate": RATE, "channels": "both"}, "channels: expected 'mean' or 'each', got 'both'"),
        (np.zeros(RATE), {"sample_rate": RATE, "hop": 0.1}, "hop: load the model with it"),
        (np.zeros(RATE), {"sample_rate": RATE, "rules": SegmentRules(include=("lout",))}, "did you mean 'loud'?"),
    ],
)
def test_wrong_arguments_are_refused(model, samples, options, text):
    with pytest.raises(SightsoundError, match=text):
        classify_sound(samples, model=model, **options)


def test_a_sample_rate_for_a_file_is_refused(model, wav):
    with pytest.raises(SightsoundError, match="sample_rate: not for files"):
        classify_sound(wav(loud(1)), RATE, model=model)


def test_files_that_are_no_sound_are_refused(model, wav, tmp_path, tiny):
    with pytest.raises(NotMedia, match="not a sound"):
        classify_sound(made.write_image(tmp_path / "a.png"), model=model)
    with pytest.raises(MediaError, match="no such file|cannot open"):
        classify_sound(tmp_path / "gone.wav", model=model)
    with pytest.raises(MediaError, match="no samples"):
        classify_sound(wav(np.zeros(0, np.float32)), model=model)
    with pytest.raises(SightsoundError, match=r"colours.tiny: expected a model for sounds, got one for images"):
        classify_sound(wav(loud(1)), model="colours.tiny", host=tiny)


def test_scores_that_are_nan_are_an_error_of_the_plugin(tiny):
    def embed(inner, inputs):
        return dataclasses.replace(inner.embed(inputs), scores=np.full((len(inputs), 2), np.nan, np.float32))

    name = made.register_variant(tiny, "bad.tiny", "loudness.tiny", embed=embed)
    with pytest.raises(PluginError, match="bad.tiny gave NaN or infinity"):
        classify_sound(loud(1), RATE, model=name, host=tiny)


# -- streams -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([0.3, 0.8, 1.3, 2.6]), min_size=1, max_size=6),
    st.lists(st.integers(0, 5000), max_size=12),
    st.sampled_from([RATE, 2500, 4000]),
    st.sampled_from(["mean", "each"]),
)
def test_a_stream_has_the_segments_of_the_whole_sound(lengths, cuts, rate, channels):
    host = sightsound.Host(installed=False)
    import sightsound_tiny

    host.register(sightsound_tiny, "tiny")
    model = host.load("loudness.tiny")
    samples = np.stack([loud(*lengths), loud(0.5, *lengths)[: len(loud(*lengths))]], axis=1)
    whole = classify_sound(samples, rate, model=model, channels=channels, rules=SegmentRules(min_separation=0.6))
    blocks = np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    stream = classify_stream(blocks, rate, model=model, channels=channels, rules=SegmentRules(min_separation=0.6))
    found = sorted(stream, key=lambda s: (s.channel or 0, s.start, s.stop, s.label))
    assert [(s.label, s.start, s.stop, s.channel) for s in found] == [
        (s.label, s.start, s.stop, s.channel) for s in whole.segments
    ]
    np.testing.assert_allclose([s.mean for s in found], [s.mean for s in whole.segments], atol=1e-6)


def test_a_segment_comes_before_the_stream_ends(model):
    given: list[int] = []

    def blocks():
        for i, block in enumerate(np.split(loud(2, 8), 20)):
            given.append(i)
            yield block

    first = next(iter(classify_stream(blocks(), RATE, model=model, rules=SegmentRules(include=("loud",)))))
    assert first.stop == 2.5 and len(given) <= 9, "when 4.5 s of 10 have come"


def test_a_stream_without_samples_has_no_segments(model):
    assert list(classify_stream([], RATE, model=model)) == []
    assert list(classify_stream([np.zeros(0, np.float32)], RATE, model=model)) == []


def test_a_stream_whose_channels_change_is_refused(model):
    blocks = [np.zeros((RATE, 2), np.float32), np.zeros((RATE, 1), np.float32)]
    with pytest.raises(MediaError, match="expected 2 channels, got 1"):
        list(classify_stream(blocks, RATE, model=model))


def test_wrong_arguments_are_refused_before_the_first_block(model):
    with pytest.raises(SightsoundError, match="did you mean 'loud'"):
        classify_stream(iter(()), RATE, model=model, rules=SegmentRules(include=("lout",)))


def test_a_stream_has_the_best_classes_so_far(model):
    stream = classify_stream([loud(2, 1)], RATE, model=model)
    assert stream.classified().top == () and stream.classified().segments == ()
    segments = sort_segments(stream)
    whole = classify_sound(loud(2, 1), RATE, model=model)
    assert segments == whole.segments
    assert (stream.classified().top, stream.classified(1).top) == (whole.top, whole.top[:1])
    assert stream.classified().model == whole.model == "loudness.tiny"


# -- pictures ----------------------------------------------------------------------------------------------------


def test_the_classes_of_a_picture_best_first(warm, tiny, tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20), (200, 100, 0)).save(tmp_path / "orange.png")
    found = classify_image(tmp_path / "orange.png", warm, 2, host=tiny)
    assert [(p.label, p.id, round(p.score, 3)) for p in found.top] == [("red", "r", 0.667), ("green", "g", 0.333)]
    assert classify_image(np.full((20, 30, 3), (200, 100, 0), np.uint8), tiny.load(warm), 2).top == found.top


@pytest.mark.parametrize(("shape", "dtype"), [((3, 3), "u1"), ((3, 3, 3), "f4"), ((3, 3, 4), "u1"), ((0, 3, 3), "u1")])
def test_an_array_that_is_no_picture_is_refused(warm, tiny, shape, dtype):
    with pytest.raises(SightsoundError, match=r"image: expected uint8 RGB \(h, w, 3\), got"):
        classify_image(np.zeros(shape, dtype), warm, host=tiny)


def test_networks_without_classes_and_for_sounds_are_refused(warm, tiny, tmp_path):
    picture = made.write_image(tmp_path / "a.png")
    with pytest.raises(SightsoundError, match="colours.tiny has no classes, only embeddings"):
        classify_image(picture, "colours.tiny", host=tiny)
    with pytest.raises(SightsoundError, match="loudness.tiny: expected a model for images"):
        classify_image(picture, "loudness.tiny", host=tiny)
    with pytest.raises(MediaError, match="WAV is not an image"):
        classify_image(made.write_sound(tmp_path / "a.wav"), warm, host=tiny)


@pytest.mark.parametrize("hop", [0.1, np.float64(0.1), np.int64(2)])
def test_the_hop_in_the_name_of_a_model_is_a_number_of_python(tiny, hop):
    from sightsound.classify.model_choice import name_with_hop

    name = made.register_variant(tiny, "hops.tiny", "loudness.tiny", facts={"options": (Option("hop", float),)})
    assert name_with_hop(tiny, name, "sound", hop) == f"hops.tiny[hop={float(hop)}]"


def test_a_hop_goes_together_with_other_options_but_not_with_another_hop(tiny):
    from sightsound.classify.model_choice import name_with_hop

    options = (Option("hop", float, help="seconds"), Option("unit", help="length 1"))
    card = dataclasses.replace(tiny.card("loudness.tiny"), name="hops.tiny", options=options)

    class Hops:
        @hookimpl
        def resolve_embedder(self, name, options):
            written = ",".join(
                option.written(options[option.name]) for option in card.options if option.name in options
            )
            full = f"{name}[{written}]" if written else name
            return (dataclasses.replace(card, name=full), print) if name == card.name else None

    tiny.register(Hops(), "hops")
    assert name_with_hop(tiny, "hops.tiny[unit]", "sound", 0.5) == "hops.tiny[unit,hop=0.5]"
    assert tiny.card("hops.tiny[unit,hop=0.5]").name == "hops.tiny[hop=0.5,unit]"
    with pytest.raises(SightsoundError, match="hop: expected once"):
        name_with_hop(tiny, "hops.tiny[unit,hop=0.25]", "sound", 0.5)
    with pytest.raises(SightsoundError, match="has no option `hop`, its windows are fixed"):
        name_with_hop(tiny, "loudness.tiny", "sound", 0.5)
