"""Standard streams that are closed, absent, full, or left by their reader."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from made import RATE, loud_and_silent
from sampling import sampled
from sightsound import embed, index

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")
MODEL = "-m loudness.tiny"


@pytest.fixture
def shell(install, tmp_path):
    """Run a line of a shell in which `$S` is the command line, and `a.wav` a recording."""
    soundfile.write(tmp_path / "a.wav", loud_and_silent(2, 3), RATE, "FLOAT")

    def run(line: str, **environment: str):
        code = "import sys; sys.argv[0] = 'sightsound'; from sightsound.cli import main; main()"
        (tmp_path / "s").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
        (tmp_path / "s").chmod(0o755)
        env = {**os.environ, "PYTHONPATH": str(install("tiny")), "S": str(tmp_path / "s"), **environment}
        words = ["bash", "-c", f"set -o pipefail; {line}"]
        return subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.mark.parametrize("closed", sampled(("2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"), ">&- 2>&-"))
def test_a_command_does_its_work_with_closed_streams(shell, tmp_path, closed):
    done = shell(f"$S index a.wav -l lib {MODEL} {closed} && $S embed a.wav {MODEL} -o a.npz {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "a.npz") as rows:
        assert len(rows["embeddings"]) == 9
    assert (tmp_path / "lib" / "library.sqlite").is_file()


def test_functions_work_without_standard_error(tiny, zoo, tmp_path, monkeypatch):
    """As under pythonw, or in a service."""
    monkeypatch.setattr(sys, "stderr", None)
    report = index(zoo / "dogs", tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    assert report.counts["ok"] == 2
    assert len(embed(zoo / "dogs", "loudness.tiny", host=tiny, progress=True).matrix()) == 2


@pytest.mark.parametrize("unbuffered", sampled(("", "1"), ""))
def test_a_reader_that_leaves_early_is_exit_code_141(shell, unbuffered):
    done = shell(
        "$S ontology tree --json 2>&1 | head -c 10; $S models --json | head -c 10", PYTHONUNBUFFERED=unbuffered
    )
    assert done.returncode in (0, 141) and done.stderr == ""
    many = shell("(sleep 1; $S models) | :", PYTHONUNBUFFERED=unbuffered)
    assert (many.returncode, many.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words",
    sampled(("models", "--help", f"tag a.wav {MODEL} --csv", "models --json"), "--help", f"tag a.wav {MODEL} --csv"),
)
def test_a_full_disk_behind_standard_output_is_one_line_for_every_kind_of_output(shell, words):
    done = shell(f"$S {words} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("sightsound: standard output cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", sampled(("models", "stats -l nowhere", "--nonsense"), "models"))
def test_a_full_disk_behind_both_streams_is_exit_code_2(shell, words):
    done = shell(f"$S {words} > /dev/full 2> /dev/full")
    assert done.returncode == 2


def test_another_error_is_not_taken_for_one_of_standard_output(command, monkeypatch):
    from sightsound.library import stats

    def refuse(_):
        raise OSError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(stats, "stats", refuse)
    done = command("stats", "-l", "lib")
    assert done.returncode == 1 and "standard output" not in done.stderr
    assert "ConnectionRefusedError: [Errno 111] Connection refused" in done.stderr
