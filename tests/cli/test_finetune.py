"""`sightsound finetune` as it is used: the table, the log, the picture, JSON, and the model in the next command."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.usefixtures("few_strengths")

PLUGINS = ("tiny", "small")
GIVEN = ("--data", "DATA", "-m", "small.acme")
FAST = ("--epochs", "2", "--batch-size", "8")


@pytest.fixture
def run(command, tmp_path):
    models = str(tmp_path / "models")
    return lambda *words: command(*words, plugins=PLUGINS, SIGHTSOUND_MODELS=models)


def test_a_network_is_fine_tuned_and_used(run, shades, tmp_path):
    pytest.importorskip("matplotlib")
    done = run(
        *("finetune", "--data", shades, "--model", "small.acme", "--out", "mine", *FAST),
        *("--log", tmp_path / "log.csv", "--plot", tmp_path / "curve.png", "--patience", "9"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "probe" in done.stdout and "* is kept" in done.stdout
    assert done.stdout.endswith("next: sightsound tag FOLDER --model mine\n")
    assert [row["number"] for row in csv.DictReader((tmp_path / "log.csv").open())] == ["0", "1", "2"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    tagged = run("tag", shades / "red", "--model", "mine", "--json")
    assert tagged.returncode == 0 and '"red"' in tagged.stdout
    page, card = run("models", "mine").stdout, json.loads(run("models", "mine", "--json").stdout)
    assert "small.acme, fine-tuned to 3 classes" in page
    assert f"small.acme (space {card['constants']['parent_fingerprint'][:12]})" in page


def test_a_library_and_json(run, shades, tmp_path):
    run("index", shades, "-l", tmp_path / "lib", "-m", "small.acme", "--label-from", "folder")
    done = run("finetune", "-l", tmp_path / "lib", "-m", "small.acme", "-o", "mine", "--json", *FAST)
    found = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (found["name"], found["parent"], found["items"] + found["held_out"]) == ("mine", "small.acme", 36)
    assert [epoch["number"] for epoch in found["epochs"]] == [0, 1, 2]


@pytest.mark.slow
def test_depths_and_rates_are_searched(run, shades):
    given = ("finetune", "--data", shades, "-m", "small.acme", "-o", "mine", *FAST, "--search")
    done = run(*given, "--freeze-until", "1", "--freeze-until", "3", "--rate", "0.01")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["frozen", "until", "rate", "best", "epoch", "loss", "accuracy", "(95", "%)"]
    assert [line.split()[0] for line in lines[1:3]] == ["1.0", "3"] and done.stdout.count(" *") >= 2
    assert "accuracy on those held out: " in done.stdout


@pytest.mark.slow
def test_a_training_that_is_killed_again_and_again_comes_to_the_same_network(install, run, shades, tmp_path):
    at, random = tmp_path / "at.safetensors", np.random.default_rng(0)
    words = ("finetune", "--data", shades, "-m", "small.acme", "--epochs", "30", "--patience", "30")
    assert run(*words, "-o", "whole").returncode == 0
    paths = os.pathsep.join([str(install(*PLUGINS)), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "SIGHTSOUND_MODELS": str(tmp_path / "models")}
    program = [sys.executable, "-c", "from sightsound.cli import main; main()"]
    positions = []
    for _ in range(12):
        started = subprocess.Popen([*program, *map(str, words), "-o", "killed", "--resume", at], env=environment)
        before = at.stat().st_mtime_ns if at.exists() else 0
        while started.poll() is None and before == (at.stat().st_mtime_ns if at.exists() else 0):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        started.kill()
        started.wait()
        positions.append(at.read_bytes())
    assert len(set(positions)) > 3, "each went on from where the last one was"
    assert run(*words, "-o", "killed", "--resume", at, "--replace").returncode == 0
    one, two = (next((tmp_path / "models").glob(f"{name}-*.safetensors")) for name in ("whole", "killed"))
    assert all(np.array_equal(a, b) for a, b in zip(load_file(one).values(), load_file(two).values(), strict=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "small.acme", "-o", "mine"), "expected --library or --data"),
        (("--data", "DATA", "-m", "colours.tiny", "-o", "mine"), "colours.tiny: cannot be trained"),
        (
            ("--data", "DATA", "-m", "small.acme", "-o", "mine", "--freeze-until", "layer3"),
            "expected the name of a stage",
        ),
        (("--data", "DATA", "-m", "small.acme", "-o", "colours.tiny", *FAST), "has a model of this name"),
        ((*GIVEN, "-o", "mine", "--rate", "1", "--rate", "2"), "or --search to compare several"),
        ((*GIVEN, "-o", "mine", "--resume", "DATA"), "cannot be written"),
        ((*GIVEN, "-o", "mine", "--rate", "-1"), "learning_rate: expected more than 0"),
        ((*GIVEN, "-o", "mine", "--rate", "nan"), "learning_rate: expected more than 0"),
        ((*GIVEN, "-o", "mine", "--search", "--freeze-until", "0.9", "--freeze-until", "layer9"), "got 'layer9'"),
        ((*GIVEN, "-o", "mine", "--log", "one.png", "--plot", "one.png"), "expected a file for each output"),
        ((*GIVEN, "-o", "mine", "--layer-decay", "2"), "layer_decay: expected more than 0 and at most 1, got 2"),
        ((*GIVEN, "-o", "mine", "--plot", "curve.jpeg2"), "png"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_mistakes_are_one_line(run, shades, words, message):
    done = run("finetune", *(str(shades) if word == "DATA" else word for word in words))
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
