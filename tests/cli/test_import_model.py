"""`import-model` and `remove-model`: settings from options and from a file beside the network, and what comes next."""

from __future__ import annotations

import json
import sys

import pytest

from distributions import DISTS

sys.path.insert(0, str(DISTS / "linear"))
from sightsound_linear import write_network


@pytest.fixture
def run(command, tmp_path):
    models = str(tmp_path / "models")
    return lambda *words: command(*words, plugins=("tiny", "linear"), SIGHTSOUND_MODELS=models)


@pytest.fixture
def network(tmp_path):
    return write_network(tmp_path / "net.npz", classes=3)


def test_a_network_is_imported_used_and_removed(run, network, zoo, tmp_path):
    (tmp_path / "classes.txt").write_text("n1\tred\nn2\tgreen\nn3\tblue\n")
    done = run(
        *("import-model", network, "--name", "mine", "--labels", tmp_path / "classes.txt", "--logits"),
        *("--mean", "0.5,0.4,0.3", "--std", "0.2", "--size", "8", "--about", "my own", "--license", "MIT"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "mine: image, input 3x8x8, 5 numbers a vector, 3 classes\n"
        "next: sightsound index FOLDER --library zoo --model mine\n"
    )
    listed = {model["name"]: model for model in json.loads(run("models", "--json").stdout)}
    assert (listed["mine"]["license"], listed["mine"]["state"]) == ("MIT", "present")
    assert listed["mine"]["constants"]["mean"] == [0.5, 0.4, 0.3]
    assert run("check-model", "mine").returncode == 0
    assert run("index", zoo, "-l", tmp_path / "lib", "-m", "mine").returncode == 0
    assert "cats/0.png" in run("search", zoo / "cats" / "0.png", "-l", tmp_path / "lib", "--copies").stdout
    assert "green" in run("tag", zoo / "cats", "-m", "mine", "--json").stdout
    done = run("remove-model", "mine")
    assert (done.returncode, done.stdout) == (0, "mine is removed\n")
    done = run("index", zoo, "-l", tmp_path / "lib", "-m", "mine")
    assert done.returncode == 2 and "no embedder 'mine'" in done.stderr


def test_settings_can_stand_beside_the_network_and_options_overrule_them(run, network, tmp_path):
    (tmp_path / "net.card.json").write_text(json.dumps({"name": "beside", "mean": 0.5, "labels": ["a", "b", "c"]}))
    done = run("import-model", network)
    assert done.returncode == 2 and "beside: scores: expected probabilities" in done.stderr
    assert run("import-model", network, "--logits", "--name", "other", "--mean", "0.25").returncode == 0
    (found,) = [model for model in json.loads(run("models", "--json").stdout) if model["name"] == "other"]
    assert found["constants"]["mean"] == [0.25, 0.25, 0.25] and found["classes"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--name", "a/b"), "a/b"),
        (("--name", "x", "--mean", "one"), "--mean: expected numbers with commas between them, got 'one'"),
        (("--name", "x", "--size", "8x"), "--size: expected numbers"),
        (("--name", "x", "--labels", "no.txt"), "no.txt: cannot be read (No such file or directory)"),
        (("--name", "x", "--card", "no.json"), "no.json: cannot be read (No such file or directory)"),
        ((), "settings: expected a name; give --name"),
        (("--name", "x", "--modality", "sound"), "x: rate: expected Hz for sound; give --rate"),
        (("--name", "colours.tiny"), "colours.tiny: plugin tiny has a model of this name; give another --name"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_mistakes_are_one_line_and_leave_nothing(run, network, words, message, tmp_path):
    done = run("import-model", network, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize("text", ["", "\n \n", "n1\ta\nn2\t\nn3\tc\n"], ids=repr)
def test_labels_without_a_class_in_each_line_are_refused(run, network, tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    done = run("import-model", network, "--name", "mine", "--labels", tmp_path / "classes.txt")
    assert done.returncode == 2 and "classes.txt: expected a class in each line" in done.stderr


def test_files_of_windows_editors_are_read(run, network, tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufeffred\r\ngreen\r\nblue\r\n".encode())
    (tmp_path / "net.card.json").write_bytes(b'\xef\xbb\xbf{"name": "mine", "logits": true}')
    assert run("import-model", network, "--labels", tmp_path / "classes.txt").returncode == 0
    done = run("check-model", "mine", "--json")
    assert done.returncode == 0
    (found,) = [model for model in json.loads(run("models", "--json").stdout) if model["name"] == "mine"]
    assert found["classes"] == 3
    assert '"red"' in (tmp_path / "models" / "mine.model.json").read_text()


@pytest.mark.parametrize("name", ["layers", "-x", ".hidden", ""])
def test_names_that_commands_could_not_take_are_refused(run, network, name):
    done = run("import-model", network, f"--name={name}")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_the_format_and_its_plugin_are_listed(run):
    assert "formats: linear" in run("plugins").stdout
    (found,) = [plugin for plugin in json.loads(run("plugins", "--json").stdout) if plugin["name"] == "linear"]
    assert found["importers"] == ["linear"]
