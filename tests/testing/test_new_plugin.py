"""`new-plugin`: packages that pass the kit as they are, for each kind, when they are installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from sampling import sampled
from sightsound import SightsoundError
from sightsound.testing.plugin_package import KINDS, new_plugin

LINES = 85
"""Of code, comments and docstrings, in the module of a plugin."""


@pytest.mark.parametrize("kind", sampled(KINDS, "stage"))
def test_a_new_package_passes_its_own_tests_when_it_is_installed(kind, tmp_path, install):
    """The first commands of the guide are a quick test of `sound`."""
    if kind == "onnx" and not importlib.util.find_spec("onnxruntime"):
        pytest.skip("needs onnxruntime")
    package = new_plugin("acme-birds", kind, tmp_path)
    source = package / "src" / "acme_birds" / "__init__.py"
    assert len(source.read_text().splitlines()) <= LINES
    path = os.pathsep.join([str(install(package)), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(run, cwd=package, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "failed" not in done.stdout


@pytest.mark.parametrize("kind", ["sound", "image", "onnx"])
def test_its_golden_rows_come_from_another_program_than_the_plugin(kind, tmp_path):
    package = new_plugin("acme-birds", kind, tmp_path)
    golden = package / "tests" / "golden.npz"
    script = (package / "tests" / "make_golden.py").read_text()
    assert golden.exists() and "acme_birds" not in script


def test_the_command_lists_the_files_and_the_next_step(command, tmp_path):
    done = command("new-plugin", "acme-birds", "--kind", "onnx", "--folder", tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("pyproject.toml", "README.md", ".github/workflows/tests.yml", "acme_birds.onnx", "golden.npz"):
        assert name in done.stdout
    assert "next: pip install --editable" in done.stdout.splitlines()[-1]
    again = command("new-plugin", "acme-birds", "--kind", "onnx", "--folder", tmp_path)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1) and "there already; give another name" in again.stderr


def test_a_name_without_an_owner_has_a_network_of_its_own(tmp_path):
    package = new_plugin("birds", "image", tmp_path)
    assert 'name="birds.v1"' in (package / "src" / "birds" / "__init__.py").read_text()


@pytest.mark.parametrize("name", ["", "Acme-birds", "acme_birds", "../birds", "acme-", "1acme", "a b"])
def test_a_name_that_is_no_name_of_a_package_is_refused(name, tmp_path):
    with pytest.raises(SightsoundError, match="name: expected lower case words joined by -"):
        new_plugin(name, "image", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_kind_is_refused_and_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(SightsoundError, match="kind: expected one of sound, image, onnx, stage, runtime, got 'video'"):
        new_plugin("acme-birds", "video", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SightsoundError, match="cannot be written"):
        new_plugin("acme-birds", "image", tmp_path / "file")
