"""The programs in examples/, run as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import made

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, place, *words):
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.mark.slow
def test_a_classifier_is_trained_on_few_examples_and_tested_on_the_rest(place):
    done = run("few_shot.py", place)
    assert done.returncode == 0, done.stderr
    assert (
        "2. Fit a probe to 8 items of each of brick, grass, gravel, embedded by tf_efficientnet_lite0.in1k"
        in done.stdout
    )
    (accuracy,) = re.findall(r"3. Test it on the other 96 files\n   accuracy (0\.\d+) \(", done.stdout)
    assert float(accuracy) > 0.8
    assert (place / "demo" / "few.probe").is_file() and (place / "demo" / "few.png").stat().st_size > 10_000


@pytest.mark.slow
def test_networks_of_images_are_compared_and_stacked(place):
    done = run("stacking.py", place)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^   (\S.*?) +(\d\.\d{3}) \(", done.stdout, re.MULTILINE))
    assert set(found) == {
        "tf_efficientnet_lite0.in1k",
        "mobilenet_v2.tv_in1k",
        "tf_efficientnet_lite1.in1k",
        "features side by side",
        "average of probabilities",
        "stack (svm on concatenated)",
    }
    assert all(float(accuracy) > 0.8 for accuracy in found.values())
    assert (place / "demo" / "stack.probe").is_file() and (place / "demo" / "stack.png").stat().st_size > 10_000


@pytest.mark.slow
def test_networks_of_sounds_are_compared_and_stacked(place):
    for kind in range(2):
        for i in range(8):
            made.write_rhythm(place / "rhythms" / f"kind{kind}" / f"{i}.wav", kind, 8 * kind + i)
    done = run("stacking.py", place, "rhythms", "mfcc.librosa", "yamnet.audioset_i8")
    assert done.returncode == 0, done.stderr
    assert "mfcc.librosa" in done.stdout and "stack (svm on concatenated)" in done.stdout


def test_a_missing_folder_is_reported_in_one_line(place):
    done = run("few_shot.py", place, "none")
    assert done.returncode == 1 and done.stderr == "few_shot: none: no such file or folder\n"
