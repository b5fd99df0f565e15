"""YAMNet through `classify_sound`: scores of the goldens, classes of ESC-10, streams, and hops."""

from __future__ import annotations

import numpy as np
import pytest

from audioset_data import YAMNET_GOLDENS
from esc10 import KINDS
from sampling import sampled
from sightsound import (
    Host,
    SegmentRules,
    SightsoundError,
    UnknownModel,
    classify_sound,
    classify_stream,
    evaluate_tags,
    load_ontology,
    tag,
)
from sightsound.testing import check_model

RATE = 16000


@pytest.fixture(scope="module")
def host(shared):
    return Host(weights=[shared / "weights/yamnet/yamnet.h5"])


@pytest.fixture(scope="module")
def f32(host):
    return host.load("yamnet.audioset_f32")


@pytest.fixture(scope="module")
def i8(tflite_file):
    return Host().load("yamnet.audioset_i8")


@pytest.mark.parametrize("name", YAMNET_GOLDENS)
def test_scores_are_those_of_the_reference(f32, shared, name):
    golden = np.load(shared / "goldens/yamnet" / name)
    found = classify_sound(golden["waveform"], RATE, model=f32).windows
    assert found.scores.shape == golden["scores"].shape and found.labels == f32.card.labels
    np.testing.assert_allclose(found.scores, golden["scores"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.spans[:, 0], 0.48 * np.arange(len(found.spans)))
    assert found.spans[-1, 1] == pytest.approx(min(found.spans[-1, 0] + 0.975, len(golden["waveform"]) / RATE))


def test_a_bark_and_silence_are_recognised(f32, shared):
    dog = np.load(shared / "goldens/yamnet/golden_clip_dog_975ms.npz")["waveform"]
    bark = classify_sound(dog, RATE, model=f32, rules=SegmentRules(include=("subtree:Dog",), threshold=0.2)).segments[0]
    assert (bark.start, bark.stop) == (0.0, pytest.approx(len(dog) / RATE, abs=0.48))
    silence = np.load(shared / "goldens/yamnet/golden_clip_silence.npz")["waveform"]
    assert [s.label for s in classify_sound(silence, RATE, model=f32).segments] == ["Silence"]


@pytest.mark.parametrize(
    ("model", "every", "least"),
    [
        pytest.param("yamnet.audioset_f32", 10, 0.775, marks=pytest.mark.slow),
        ("yamnet.audioset_i8", 10, 0.875),
        pytest.param("yamnet.audioset_f32", 1, 0.78, marks=pytest.mark.slow),
        pytest.param("yamnet.audioset_i8", 1, 0.85, marks=pytest.mark.slow),
    ],
)
def test_esc_10_is_recognised(host, shared, tflite_file, model, every, least):
    """The hit rate of the five best classes, on every tenth clip or on all."""
    clips = sorted((shared / "data/esc10").glob("0*/*.ogg"))[::every]
    found = [t for t in tag(clips, models=model, host=host) if t.outcome.status == "ok"]
    assert len(found) == len(clips) == 400 // every
    expected = [KINDS[t.item.file.parent.name] for t in found]
    score = evaluate_tags(expected, [t.top for t in found], load_ontology()).overall
    assert score.hit_rate >= least, score


def sounds(seconds: float) -> np.ndarray:
    """A siren, noise and silence in turn."""
    t = np.arange(round(seconds * RATE)) / RATE
    siren = 0.3 * np.sign(np.sin(2 * np.pi * np.cumsum(900 + 350 * np.sin(2 * np.pi * 0.4 * t)) / RATE))
    noise = 0.2 * np.random.default_rng(0).standard_normal(len(t))
    return np.select([t % 9 < 3, t % 9 < 6], [siren, noise], 0).astype(np.float32)


@pytest.mark.parametrize("block", [1, 777, 16000, 50000])
def test_a_stream_has_the_segments_of_the_whole_whatever_its_blocks(i8, block):
    samples = sounds(12)
    blocks = np.split(samples, range(block, len(samples), block) if block > 1 else [1])
    stream = sorted(classify_stream(blocks, RATE, model=i8), key=lambda s: (s.start, s.stop, s.label))
    whole = classify_sound(samples, RATE, model=i8).segments
    assert [(s.label, s.start, s.stop) for s in stream] == [(s.label, s.start, s.stop) for s in whole]
    np.testing.assert_allclose([s.mean for s in stream], [s.mean for s in whole], atol=1e-6)
    assert {"Siren", "Silence"} & {s.label for s in whole}


# -- hops --------------------------------------------------------------------------------------------------------


def test_a_shorter_hop_gives_the_same_windows_and_those_between(i8, tflite_file):
    samples = sounds(5)
    plain = classify_sound(samples, RATE, model=i8).windows
    dense = classify_sound(samples, RATE, hop=0.12).windows
    np.testing.assert_allclose(dense.spans[:, 0], 0.12 * np.arange(len(dense.spans)))
    np.testing.assert_allclose(dense.scores[: 4 * 8 : 4], plain.scores[:8], atol=1e-6)


def test_a_hop_is_part_of_the_space_unless_it_is_the_default(tflite_file):
    host = Host()
    usual, moved = host.space("yamnet.audioset_i8"), host.space("yamnet.audioset_i8[hop=0.1]")
    assert host.space("yamnet.audioset_i8[hop=0.48]") == usual
    assert host.card("yamnet.audioset_i8[hop=0.10]") == host.card("yamnet.audioset_i8[hop=0.1]")
    assert [d.partition(":")[0] for d in usual.differences(moved)] == ["hop", "name"]


@pytest.mark.parametrize(
    "option", ["hop", "hop=0", "hop=-0.1", "hop=0.105", "hop=x", "hop=nan", "hop=1e9", "pca", "hop=1,pca"]
)
def test_other_options_are_refused(option):
    expected = "expected hop=a number from 0.01 to 60, a multiple of 0.01|no option 'pca', only hop"
    with pytest.raises(UnknownModel, match=expected):
        Host().card(f"yamnet.audioset_i8[{option}]")


def test_a_hop_is_given_once(tflite_file):
    with pytest.raises(SightsoundError, match=r"hop: expected once, got 0.1 and yamnet.audioset_i8\[hop=0.24\]"):
        classify_sound(sounds(1), RATE, model="yamnet.audioset_i8[hop=0.24]", hop=0.1)


@pytest.mark.parametrize("hop", sampled(("0.01", "0.11", "1.5"), "1.5"))
def test_networks_with_a_hop_conform(tflite_file, hop):
    results = check_model(f"yamnet.audioset_i8[hop={hop}]")
    assert [(r.check, r.reason) for r in results if not r.passed] == []


def test_both_builds_know_the_ids_of_their_classes():
    for name in ("yamnet.audioset_f32", "yamnet.audioset_i8"):
        card = Host().card(name)
        assert len(card.label_ids) == 521 and card.label_ids[:2] == ("/m/09x0r", "/m/0ytgt")


def test_specificity_on_a_real_recording(f32, shared):
    """A class and its descendants never overlap in time, neither with `high` nor with `low`."""
    file = shared / "data/esc10/001 - Dog bark/1-30344-A.ogg"
    audioset = load_ontology()
    for specificity in ("high", "low"):
        found = classify_sound(file, model=f32, rules=SegmentRules(specificity=specificity)).segments
        for one in found:
            for other in found:
                if other.id in {node.id for node in audioset.descendants(one.id)}:
                    assert one.stop <= other.start + 1e-6 or other.stop <= one.start + 1e-6
    every = {s.label for s in classify_sound(file, model=f32, rules=SegmentRules(specificity="none")).segments}
    assert {"Animal", "Dog", "Bark"} <= every
    assert SegmentRules().specificity == "high"


def test_odd_files_have_classes_or_one_clear_line(shared, tflite_file, caplog):
    found = list(tag(shared / "data/odd-media/audio", models="yamnet.audioset_i8"))
    assert len(found) > 80 and sum(t.outcome.status == "ok" for t in found) > 70
    for tags in found:
        reason = tags.outcome.reason
        if tags.outcome.status == "ok":
            end = tags.outcome.seconds + 0.01
            assert tags.top and all(0 <= s.start < s.stop <= end for s in tags.segments), tags.item
        else:
            assert len("no samples") <= len(reason) < 300, tags.item
            assert "\n" not in reason and "Traceback" not in reason, tags.item
