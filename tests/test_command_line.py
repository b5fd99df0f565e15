"""The command line in this process: the same answers as in one of its own, and nothing left behind."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

COMMANDS = [
    ("--help",),
    ("index", "--help"),
    ("models", "--json"),
    ("plugins",),
    ("search", "nothing.wav", "-l", "none"),
    ("indes",),
    ("index",),
    ("-v", "embed", "nothing.png", "-o", "rows.npz"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_answer_is_that_of_a_process_of_its_own(command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGHTSOUND_CACHE", str(tmp_path / "cache"))  # another test may fetch weights meanwhile
    here, there = command(*words), command(*words, process=True)
    assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)
    assert here.stdout or here.stderr


def test_nothing_of_a_command_is_left_behind(command):
    def state():
        loggers = [logging.getLogger(), logging.getLogger("sightsound")]
        return (
            [(logger.level, list(logger.handlers)) for logger in loggers],
            dict(os.environ),
            list(sys.path),
            [sys.argv, sys.stdin, sys.stdout, sys.stderr, sys.modules["__main__"]],
            list(warnings.filters),
            {name: module for name, module in sys.modules.items() if name.startswith("sightsound_t")},
            os.listdir("/proc/self/fd") if sys.platform == "linux" else None,
        )

    def kept(states):
        return states[:5], {name: module for name, module in states[5].items() if name == "sightsound_tiny"}

    command("models")  # what is imported for the first time stays
    before = state()
    assert "colours.tiny" in command("-v", "models", SIGHTSOUND_THREADS="1").stdout
    after = state()
    assert kept(after) == kept(before)
    assert after[6] == before[6]


def test_the_plugins_of_one_command_are_not_those_of_the_next(command):
    assert "whiten" in command("plugins", plugins=("tiny", "whiten")).stdout
    assert "whiten" not in command("plugins").stdout
    assert "tiny" not in command("plugins", plugins=()).stdout


def test_a_fault_is_a_traceback_and_exit_code_1(command, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("sightsound.cli.models.output.print_table", fails)
    done = command("models")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and done.stderr.endswith("ZeroDivisionError: a fault\n")


def test_what_is_given_is_read_from_standard_input(command):
    for process in (False, True):
        done = command("tag", "-", "-m", "loudness.tiny", given=b"no WAV", process=process)
        assert done.returncode == 2 and done.stderr.startswith("sightsound: standard input: ")
