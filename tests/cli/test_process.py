"""The command line as a process: imports at startup, and outputs that cannot be written."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from sightsound.cli import COMMANDS, module_name

HEAVY = (
    *("torch", "tensorflow", "faiss", "sklearn", "scipy", "librosa", "pandas", "timm", "torchvision", "numpy"),
    *("pluggy", "soundfile", "PIL", "tqdm", "wcwidth"),
)


@pytest.fixture
def start(monkeypatch):
    """Start `sightsound` with the standard output that is given."""

    def run(*words, stdout):
        program = [sys.executable, "-c", "from sightsound.cli import main; main()", *words]
        return subprocess.Popen(program, stdout=stdout, stderr=subprocess.PIPE, text=True)

    return run


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys\nsys.argv[1:] = [{!r}]\nfrom sightsound.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print('LOADED', *sorted(set(sys.modules) & set({!r})))"
    )
    commands = [f"sightsound.cli.{module_name(name)}" for name in COMMANDS]
    for option in ("--help", "--version"):
        script = code.format(option, [*HEAVY, *commands])
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert "sightsound" in ran.stdout and ran.stdout.splitlines()[-1] == "LOADED", ran.stdout


def test_every_command_is_listed_and_has_help(command):
    listed = command("--help", process=True)
    assert listed.returncode == 0
    for name, what in COMMANDS.items():
        assert re.search(rf"\n  {name} +{re.escape(what)}\n", listed.stdout)
        ran = command(name, "--help")
        assert ran.returncode == 0 and ran.stdout.startswith(f"Usage: sightsound {name} ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line(start):
    with open("/dev/full", "w") as full:
        running = start("models", stdout=full)
        _, text = running.communicate(timeout=60)
    assert running.returncode == 2
    assert text.startswith("sightsound: standard output cannot be written (No space left on device)")
    assert text.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="needs the pipes of POSIX")
def test_a_reader_that_leaves_early_is_no_traceback(start):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        running = start("models", stdout=closed)
        _, text = running.communicate(timeout=60)
    assert running.returncode in (1, 141) and text == ""
