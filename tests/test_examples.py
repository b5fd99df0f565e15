"""The programs in examples/, run as they are."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import made

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, place, *words):
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def run_here(name, place, monkeypatch, *words):
    """Run a program in this process, which may have imported its packages; return what it ends with, or None."""
    with monkeypatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(EXAMPLES)
        patch.setattr(sys, "argv", [name, *map(str, words)])
        try:
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        except SystemExit as left:
            return left.code
    return None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


# -- the packages of a third party -----------------------------------------------------------------------------------


@pytest.fixture
def package(install, tmp_path):
    """`package("acme-gabor")` -> a function that runs commands where the package of this name is installed, in a
    copy of its folder without the source and without the project around it."""

    def of(name):
        folder = tmp_path / name
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "src"))
        own = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(install(EXAMPLES / name)), os.environ.get("PYTHONPATH")])),
            "SIGHTSOUND_MODELS": str(tmp_path / "models"),
        }

        def run(*words):
            done = subprocess.run(words, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        return run

    return of


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acme-logspec", []),
        ("acme-gabor", ["--ignore", "tests/test_fine_tuning.py"]),
        pytest.param("acme-gabor", ["tests/test_fine_tuning.py"], marks=pytest.mark.slow),
    ],
    ids=["acme-logspec", "acme-gabor", "acme-gabor-learns"],
)
def test_a_package_passes_its_own_tests(package, name, words):
    shown = package(name)(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words)
    assert re.search(r"\d+ passed", shown) and "test_" in shown


@pytest.mark.slow
def test_the_example_of_acme_gabor_runs(package):
    page, run = (EXAMPLES / "acme-gabor" / "README.md").read_text(), package("acme-gabor")
    (python,), (commands,) = (re.findall(rf"^```{kind}\n(.*?)^```$", page, re.M | re.S) for kind in ("python", "sh"))
    run(sys.executable, "-c", python)
    shown = run("bash", "-e", "-c", commands)
    assert "* is kept" in shown and "32 tagged" in shown and "weaves is in weaves.safetensors" in shown


# -- few_shot.py and stacking.py -------------------------------------------------------------------------------------


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


# -- transfer_learning.py -------------------------------------------------------------------------------------------


def accuracies(text):
    return {
        name: float(value)
        for name, value in re.findall(r"^   (linear probe|fine-tuned) +accuracy (\d\.\d{3}) \(", text, re.MULTILINE)
    }


def steps(text):
    return re.findall(r"^\d\. ([^:?\n]+)", text, re.MULTILINE)


@pytest.mark.slow
def test_a_network_is_fine_tuned_to_textures_and_beats_its_features(place):
    pytest.importorskip("torch", reason="the example trains with PyTorch")
    done = run("transfer_learning.py", place)
    assert done.returncode == 0, done.stderr
    assert steps(done.stdout) == [
        "Features",
        "Linear probe",
        "Fine-tuning",
        "Compare them on the 150 files that neither has seen",
        "Which one",
    ]
    found = accuracies(done.stdout)
    assert 0.5 < found["linear probe"] < found["fine-tuned"] - 0.05
    assert "Which one? The fine-tuned network: " in done.stdout
    assert "240 files to learn from, 60 to choose the epoch" in done.stdout
    assert (place / "demo" / "transfer.png").stat().st_size > 10_000


@pytest.fixture
def colours(tmp_path):
    for colour, name in enumerate(("red", "green")):
        for i in range(9):
            made.write_shade(tmp_path / "colours" / name / f"{i}.png", colour, 9 * colour + i)
    return tmp_path


@pytest.mark.slow
def test_features_and_fine_tuning_are_compared_on_a_folder(colours):
    pytest.importorskip("torch", reason="the example trains with PyTorch")
    done = run("transfer_learning.py", colours, "colours")
    assert done.returncode == 0, done.stderr
    assert "1280 numbers for each of 18 files; 6 files are held out" in done.stdout
    assert set(accuracies(done.stdout)) == {"linear probe", "fine-tuned"}
    assert "Which one? The linear probe: fine-tuning is not clearly better." in done.stdout
    labels = (colours / "demo" / "transfer.csv").read_text().splitlines()
    assert len(labels) == 1 + 12, "the network is not told the class of a held-out file"
    assert [file.suffix for file in sorted((colours / "demo" / "models").iterdir())] == [".safetensors", ".json"]
    with Image.open(colours / "demo" / "transfer.png") as picture:
        assert picture.width > picture.height > 300


@pytest.mark.slow
def test_transfer_learning_needs_a_file_to_hold_out(colours):
    for file in sorted((colours / "colours").rglob("*.png")):
        if int(file.stem) > 1:
            file.unlink()
    done = run("transfer_learning.py", colours, "colours")
    assert done.returncode == 1 and done.stderr == (
        "transfer_learning: colours: expected three files or more of a class, to hold one out; add some\n"
    )


# -- wide_resnet.py ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_resnet():
    pytest.importorskip("torch", reason="the example trains with PyTorch")
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / "wide_resnet.py")))


@pytest.mark.parametrize(
    ("depth", "widen", "millions"),
    [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (28, 10, 36.5), (28, 12, 52.5), (22, 8, 17.2), (16, 8, 11.0)],
)
def test_a_wide_resnet_has_the_published_number_of_parameters(wide_resnet, depth, widen, millions):
    import torch

    with torch.device("meta"):
        network = wide_resnet.WideResNet(depth, widen, 10)
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == millions


def test_a_wide_resnet_learns_from_a_folder(wide_resnet, place, monkeypatch, capsys):
    for name, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
        (place / "colours" / name).mkdir(parents=True)
        for i in range(16):
            Image.new("RGB", (40, 30), tuple(5 * i % 50 + part for part in colour)).save(
                place / "colours" / name / f"{i}.png"
            )
    assert run_here("wide_resnet.py", place, monkeypatch, "colours", "--widen", 1, "--epochs", 3) is None
    printed = capsys.readouterr().out
    assert "1. Train WRN-10-1 (0.08 M parameters) on 24 pictures\n   epoch 1: loss " in printed
    assert printed.endswith("2. Test it on the other 8: accuracy 1.000\n")


@pytest.mark.slow
def test_a_wide_resnet_learns_shapes(wide_resnet, place):
    done = run("wide_resnet.py", place)
    (accuracy,) = re.findall(r"2. Test it on the other 120: accuracy (\d\.\d+)", done.stdout)
    assert done.returncode == 0 and float(accuracy) > 0.8


@pytest.mark.parametrize("depth", [4, 12, 27])
def test_a_wide_resnet_of_another_depth_is_refused(wide_resnet, depth):
    with pytest.raises(ValueError, match=rf"^depth: expected 10, 16, 22, 28, \.\.\. \(6 N \+ 4\), got {depth}$"):
        wide_resnet.WideResNet(depth, 1, 10)


@pytest.mark.slow
def test_a_wide_resnet_needs_two_classes(wide_resnet, place):
    (place / "one" / "class").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(place / "one" / "class" / "a.png")
    with pytest.raises(ValueError, match="one: expected folders of pictures for two classes or more, got 1$"):
        wide_resnet.read(place / "one")
    done = run("wide_resnet.py", place, "one")
    assert done.returncode == 1 and done.stderr.startswith("wide_resnet: one: expected folders of pictures for two")


@pytest.mark.parametrize("name", ["few_shot", "transfer_learning"])
def test_a_missing_folder_is_reported_in_one_line(place, name, monkeypatch):
    assert run_here(f"{name}.py", place, monkeypatch, "none") == f"{name}: none: no such file or folder"
