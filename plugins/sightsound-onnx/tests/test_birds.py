"""A network of BirdNET's shape from the command line, as in the README: import, index, search, tag."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import soundfile

from sightsound import Host

RATE, WINDOW = 48_000, 144_000
LABELS = [f"bird-{number}\tBird number {number}" for number in range(300)]


def song(pitch, *, seconds=7.0, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * pitch * time) * (1 + np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.fixture
def sounds(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for pitch in (700, 2100, 5200):
        soundfile.write(folder / f"{pitch}.wav", song(pitch), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "query.wav", song(2100, seconds=3), RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def run(command, tmp_path, models):
    def done(*words):
        found = command(*words, plugins=())
        assert found.returncode == 0, found.stderr
        return found.stdout

    return done


def test_a_network_of_birds(tmp_path, run, sounds, bird_network):
    file = bird_network(tmp_path / "birds.onnx")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    printed = run(
        *("import-model", file, "--name", "birds", "--labels", tmp_path / "labels.txt"),
        *("--rate", "48000", "--scores", "sigmoid", "--hop", "1.5"),
    )
    assert printed.startswith("birds: sound, input 144000 at 48000 Hz, 1024 numbers a vector, 300 classes")
    assert "birds" in run("models")
    library = tmp_path / "zoo"
    assert "3 embedded; 12 new vectors" in run("index", sounds, "--library", library, "--model", "birds")
    assert run("search", tmp_path / "query.wav", "--library", library, "-k", "1").splitlines()[1].endswith("2100.wav")

    tagged = json.loads(run("tag", sounds / "700.wav", "--model", "birds", "--threshold", "0.2", "--json"))
    assert "Bird number" in json.dumps(tagged)

    card = Host().cards["birds"]
    assert (card.window, card.hop, card.scores, card.label_ids[7]) == (WINDOW, 72_000, "sigmoid", "bird-7")
    _, rows, scores = Host().load("birds").rows(song(700))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    windows = np.stack([song(700)[start : start + WINDOW] for start in (0, 72_000, 144_000)])
    np.testing.assert_allclose(scores[:3], session.run(None, {"samples": windows})[0], atol=1e-5)
    assert rows.shape == (4, 1024)
