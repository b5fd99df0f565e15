"""What the command line says where the default model is not unique, or its name is claimed twice."""

from __future__ import annotations

import pytest

import made

PLUGIN = """
import numpy as np
from sightsound.plugin import Card, Output, Windows, hookimpl


class Mean:
    def __init__(self, card):
        self.card = card

    def preprocess(self, media, start, last):
        return Windows((media.mean(axis=(0, 1)) / 255).astype(np.float32)[None])

    def embed(self, inputs):
        return Output(inputs.copy())

    def postprocess(self, output):
        return output.embeddings


def add(register, name):
    card = Card(name=name, modality="image", dim=3, input_shape=(3,), default_for="image")
    register(card, lambda device, weights: Mean(card))


@hookimpl
def register_embedders(register):
    for name in {names}:
        add(register, name)
"""
PROJECT = """
[build-system]
requires = ["setuptools>=77.0.3"]
build-backend = "setuptools.build_meta"
[project]
name = "acme-{name}"
version = "1.0"
[project.entry-points.sightsound]
{name} = "acme_{name}"
[tool.setuptools]
py-modules = ["acme_{name}"]
"""
SEVERAL = "several models want to be the default for images: "


def distribution(folder, name, *models):
    """Write a plugin whose models all want to be the default one for images."""
    (folder / name).mkdir()
    (folder / name / "pyproject.toml").write_text(PROJECT.format(name=name))
    (folder / name / f"acme_{name}.py").write_text(PLUGIN.replace("{names}", repr(models)))
    return folder / name


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A plugin with two models that want to be the default one for images."""
    return distribution(tmp_path_factory.mktemp("dists"), "several", "one.net", "two.net")


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """Two plugins that claim one name."""
    folder = tmp_path_factory.mktemp("dists")
    return distribution(folder, "first", "same.net"), distribution(folder, "second", "same.net")


@pytest.fixture
def image(tmp_path):
    return made.write_image(tmp_path / "photos" / "a.png")


@pytest.mark.parametrize("words", [["tag"], ["embed", "-o", "rows.npz"]])
def test_several_models_that_want_to_be_the_default_are_named_in_one_line(
    command, several, image, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = command(words[0], image, *words[1:], plugins=(several,))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"sightsound: {SEVERAL}") and "one.net" in done.stderr and "two.net" in done.stderr
    assert "name one (--model), or set SIGHTSOUND_IMAGE_MODEL" in done.stderr


def test_index_refuses_too_and_the_setting_of_the_user_decides(command, several, image, tmp_path):
    done = command("index", image, "-l", tmp_path / "lib", plugins=(several,))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"sightsound: {SEVERAL}")
    done = command("index", image, "-l", tmp_path / "lib", plugins=(several,), SIGHTSOUND_IMAGE_MODEL="two.net")
    assert done.stderr == "" and "1 embedded" in done.stdout
    done = command("search", image, "-l", tmp_path / "lib", plugins=(several,))
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing found\n", ""), "its space says which model"


def test_index_goes_on_without_a_default_for_one_modality(command, several, image, tmp_path):
    made.write_sound(image.parent / "b.wav", 1)
    both = {"SIGHTSOUND_IMAGE_MODEL": "two.net", "SIGHTSOUND_BLOCK": "yamnet"}
    done = command("index", image.parent, "-l", tmp_path / "lib", plugins=(several,), **both)
    assert "1 embedded" in done.stdout and "1 without a model for them" in done.stdout
    assert "no plugin in use has a default model for sounds (not in use: yamnet" in done.stderr


def test_the_only_default_that_two_plugins_claim_is_refused_with_both(command, claimed, image):
    blocked = {"SIGHTSOUND_BLOCK": "timm"}
    done = command("tag", image, plugins=claimed, **blocked)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("sightsound: embedder 'same.net' is claimed by the plugins 'first'")
    assert command("--prefer", "second", "tag", image, plugins=claimed, **blocked).returncode == 2, "it has no classes"


def test_a_default_model_whose_name_is_claimed_twice_is_said_in_one_line(command, claimed, image, tmp_path):
    library = tmp_path / "lib"
    first = {"plugins": claimed[:1], "SIGHTSOUND_IMAGE_MODEL": "same.net"}
    both = {"plugins": claimed, "SIGHTSOUND_IMAGE_MODEL": "same.net"}
    assert command("index", image, "-l", library, **first).returncode == 0
    for words in (["tag", image], ["index", image, "-l", library], ["search", image, "-l", library]):
        done = command(*words, **both)
        assert (done.returncode, done.stdout) == (2, ""), done
        *warnings, error = done.stderr.splitlines()
        assert error.startswith("sightsound: embedder 'same.net' is claimed by the plugins 'first' (acme-first) and")
        assert "choose one: --prefer PLUGIN" in error
        assert warnings == [error], "it is said once at the start, and once where the name is used"
    done = command("--prefer", "first", "search", image, "-l", library, **both)
    assert (done.returncode, done.stdout) == (0, "nothing found\n"), done.stderr


def test_a_named_model_that_is_claimed_twice_is_said_in_one_line(command, claimed, image):
    done = command("tag", image, "-m", "same.net", plugins=claimed)
    assert done.returncode == 2 and "is claimed by the plugins" in done.stderr.splitlines()[-1]


def test_words_for_a_space_whose_name_is_claimed_twice_say_so(command, claimed, image, tmp_path):
    library = tmp_path / "lib"
    assert command("index", image, "-l", library, "-m", "same.net", plugins=claimed[:1]).returncode == 0
    done = command("search", "--text", "red", "-l", library, plugins=claimed)
    assert done.returncode == 2 and "is claimed by the plugins" in done.stderr.splitlines()[-1]
