"""What the README shows is what happens: its commands, its Python and its table of commands."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = Path(sys.executable).parent


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)
    assert found, kind
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's media in `demo`, as after `make demo`."""
    there = tmp_path_factory.mktemp("readme")
    before = Path.cwd()
    os.chdir(there)
    try:
        demo = runpy.run_path(str(ROOT / "examples" / "demo.py"))
        demo["media"](Path("demo/media"))
        demo["surfaces"](Path("demo/surfaces"))
    finally:
        os.chdir(before)
    return there


def numberless(text: str) -> list[str]:
    """Lines without their digits and columns: numbers and times differ from machine to machine."""
    return [" ".join(re.sub(r"\d+", "#", line).split()) for line in text.splitlines() if line.strip()]


def test_the_commands_print_what_the_readme_shows(folder):
    everything = "\n".join(blocks("console"))
    for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", everything, re.MULTILINE):
        words = shlex.split(command)
        ran = subprocess.run([SCRIPTS / words[0], *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        printed = numberless(ran.stdout.replace(f"{folder}/", ""))
        assert [
            line
            for line in numberless(shown)
            if re.sub("[kM]B", "B", line) not in [re.sub("[kM]B", "B", line) for line in printed]
        ] == [], (command, printed)


def test_the_python_of_the_readme_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    space: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), space)


def test_every_command_of_the_program_is_in_the_readme_and_the_other_way_round():
    ran = subprocess.run([SCRIPTS / "sightsound", "--help"], capture_output=True, text=True, check=True)
    commands = set(re.findall(r"^  ([a-z-]+)  ", ran.stdout.partition("Commands:")[2], re.MULTILINE))
    rows = "".join(re.findall(r"^\| `sightsound .*$", README, re.MULTILINE))
    assert commands == {name for name in commands if re.search(rf"`(sightsound )?{name}\b", rows)}
    assert commands >= set(re.findall(r"`sightsound ([a-z][a-z-]+)", README))


def test_the_demo_ends_with_hits_and_what_is_heard_when(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "demo.py")]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    best = re.findall(r"^   \$ sightsound search .*\n +([\d.]+)  (.+?)(?:   at .*)?$", first.stdout, re.MULTILINE)
    assert [path for _, path in best] == ["photos/chelsea.png", "sounds/siren.wav"]
    assert re.search(r"busy line.wav +Telephone", first.stdout)
    assert re.search(r"siren.wav +Siren", first.stdout) and re.search(r"coffee.png +espresso", first.stdout)
    assert re.search(r" 4\.\d\d-10\.\d\d s +0\.\d\d  Music", first.stdout)
    assert (tmp_path / "demo" / "heard.png").stat().st_size > 10_000
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "27 unchanged" in again.stdout
