"""Recordings indexed and searched on the command line with a small network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sightsound.cli import main

pytest.importorskip("sightsound_torchaudio.framework", reason="torchaudio is not installed")


def test_recordings_are_indexed_and_found(bundles: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("SIGHTSOUND_WEIGHTS", str(bundles))
    random = np.random.default_rng(0)
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    t = np.arange(32_000) / 16_000
    for pitch in (110, 440, 1760):
        wave = 0.3 * np.sin(2 * np.pi * pitch * t) + random.normal(0, 0.01, len(t))
        soundfile.write(sounds / f"{pitch}.wav", wave, 16_000)
    library = str(tmp_path / "zoo")
    run(["index", str(sounds), "--library", library, "--model", "wavlm_tiny[layer=1]"], monkeypatch)
    assert "9 new vectors" in capsys.readouterr().out
    soundfile.write(tmp_path / "part.wav", soundfile.read(sounds / "440.wav")[0][8_000:24_000], 16_000)
    run(["search", str(tmp_path / "part.wav"), "--library", library, "-k", "1"], monkeypatch)
    best = capsys.readouterr().out.splitlines()[-1].split()
    assert float(best[0]) > 0.99999 and best[1] == "0.50-1.50" and best[-1] == str(sounds / "440.wav")
    run(["models", "layers", "wavlm_tiny"], monkeypatch)
    assert "EncoderLayer" in capsys.readouterr().out


def test_the_python_example_of_the_readme_runs(capsys: Any) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    exec(text.partition("```python\n")[2].partition("```")[0], {})
    assert capsys.readouterr().out.splitlines() == ["9", str([str(number) for number in range(1, 13)])]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sightsound", *words])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
