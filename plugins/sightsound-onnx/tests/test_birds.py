"""The example of the README, a network of BirdNET's shape: its commands print what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

from sightsound import Host

README = Path(__file__).parents[1] / "README.md"


def test_the_example_of_the_readme(tmp_path, command, models, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = README.read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(program, {})
    (console,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    steps = [step.split("\n", 1) for step in console.split("$ sightsound ")[1:]]
    assert [shlex.split(words)[0] for words, _ in steps] == ["import-model", "index", "search", "tag"]
    for words, expected in steps:
        done = command(*shlex.split(words), plugins=())
        assert done.returncode == 0, done.stderr
        assert expected.strip() in done.stdout, words

    card = Host().cards["birds"]
    assert (card.window, card.hop, card.dim, card.scores) == (144_000, 72_000, 1024, "sigmoid")
    assert card.label_ids[7] == "bird-7"
    samples = soundfile.read("sounds/700.wav", dtype="float32")[0]
    _, rows, scores = Host().load("birds").rows(samples)
    windows = np.stack([samples[start : start + 144_000] for start in (0, 72_000, 144_000)])
    session = onnxruntime.InferenceSession("birds.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(scores[:3], session.run(None, {"samples": windows})[0], atol=1e-5)
    assert rows.shape == (4, 1024)
