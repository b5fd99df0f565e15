"""`mfcc.librosa` against librosa called directly, and its accuracy on ESC-10."""

import csv
import dataclasses

import librosa
import numpy as np
import pytest
import soundfile
import soxr

from sightsound import Host, Space
from sightsound_librosa import CARD, RATE
from sightsound_librosa.standard import CENTRE, SPREAD


@pytest.fixture(scope="module")
def model():
    return Host().load("mfcc.librosa")


@pytest.fixture(scope="module")
def sound():
    """Two and a half seconds: a falling tone over noise."""
    t = np.arange(int(2.5 * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * (900 * t - 120 * t**2))
    return (tone + np.random.default_rng(0).normal(0, 0.02, len(t))).astype(np.float32)


def by_librosa(y):
    """The 84 statistics of one second as librosa's own functions give them."""
    c = CARD.constants
    cut = {"sr": RATE, "n_fft": c["n_fft"], "hop_length": c["hop_length"], "center": False}
    mel = librosa.feature.melspectrogram(y=y, n_mels=c["n_mels"], **cut)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel, amin=c["floor"], top_db=None), n_mfcc=c["n_mfcc"])
    chroma = librosa.feature.chroma_stft(y=y, tuning=0.0, n_chroma=c["n_chroma"], **cut)
    delta = librosa.feature.delta(mfcc, width=c["delta_width"])
    return np.concatenate([mfcc.mean(1), mfcc.std(1), delta.std(1), chroma.mean(1), chroma.std(1)])


def test_the_statistics_are_those_of_librosa_called_second_by_second(model, sound):
    found = model.embed(model.preprocess(sound).inputs).embeddings
    seconds = np.pad(sound, (0, 3 * RATE - len(sound))).reshape(3, RATE)
    np.testing.assert_allclose(found, [by_librosa(y) for y in seconds], rtol=1e-3, atol=1e-3)


def test_the_rows_are_the_statistics_standardised(model, sound):
    _, rows, scores = model.rows(sound)
    expected = (by_librosa(sound[:RATE]) - CENTRE) / SPREAD
    np.testing.assert_allclose(rows[0], expected, rtol=1e-3, atol=1e-3)
    assert scores is None


def test_a_recording_has_a_row_for_each_second_and_the_last_is_padded(model, sound):
    windows = model.preprocess(sound)
    assert windows.spans.tolist() == [[0, 1], [1, 2], [2, 2.5]]
    assert windows.padded


def test_silence_has_a_finite_row_of_its_own(model, sound):
    _, silent, _ = model.rows(np.zeros(RATE, np.float32))
    _, rows, _ = model.rows(sound)
    assert np.isfinite(silent).all()
    assert cosine(silent[0], rows[0]) < 0.5


def test_the_same_tone_at_another_moment_is_nearer_than_noise(model):
    t = np.arange(RATE) / RATE
    noise = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)
    a, b = (0.3 * np.sin(2 * np.pi * 440 * (t + shift)).astype(np.float32) for shift in (0, 0.3))
    a, b, noise = (model.rows(y)[1][0] for y in (a, b, noise))
    assert cosine(a, b) > 0.95 > cosine(a, noise)


def test_another_constant_gives_another_space(model):
    other = dataclasses.replace(CARD, constants={**CARD.constants, "floor": 1e-10})
    assert model.space.differences(Space.of(other, {})) == ["constants.floor: expected 0.0001, got 1e-10"]


@pytest.fixture(scope="module")
def esc10(model, shared):
    """Folds (400,), categories (400,) and statistics (400, 5, 84) of the clips."""
    folder = shared / "data" / "esc10"
    folds, labels, rows = [], [], []
    with open(folder / "meta" / "esc10.csv", newline="") as table:
        for row in csv.DictReader(table):
            y, rate = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
            y = soxr.resample(y.mean(1), rate, RATE)
            folds.append(int(row["fold"]))
            labels.append(row["category"])
            rows.append(model.embed(np.pad(y, (0, 5 * RATE))[: 5 * RATE].reshape(5, RATE)).embeddings)
    return np.array(folds), np.array(labels), np.stack(rows)


@pytest.mark.slow
def test_the_standard_is_measured_on_esc10(esc10):
    rows = esc10[2].reshape(-1, CARD.dim).astype(np.float64)
    np.testing.assert_allclose(rows.mean(0), CENTRE, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(rows.std(0), SPREAD, rtol=2e-3, atol=1e-3)


@pytest.mark.slow
def test_the_accuracy_on_esc10_is_about_0_8(esc10):
    """Mean of a clip's five rows, logistic regression, the five official folds."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    folds, labels, rows = esc10
    x = ((rows - CENTRE) / SPREAD).mean(1)
    accuracies = [
        linear_model.LogisticRegression(C=0.1, max_iter=500)
        .fit(x[folds != k], labels[folds != k])
        .score(x[folds == k], labels[folds == k])
        for k in range(1, 6)
    ]
    assert 0.78 < np.mean(accuracies) < 0.85


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
