"""Compiled networks are listed, removed, and kept below a size, the last used ones first."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest
from filelock import FileLock

from sightsound.host import compiled_files as files


def made(folder, name, size, used, content=None):
    place = folder / f"space{name}" / "runtime-1.0"
    place.mkdir(parents=True)
    (place / "network").write_bytes(bytes(size))
    (place / "about.json").write_text(json.dumps({"network": name}) if content is None else content)
    os.utime(place / "about.json", (used, used))
    return place


def names(folder):
    return [each.network for each in files.compiled_files(folder)]


def test_the_last_used_one_is_listed_first_and_a_damaged_note_is_no_error(tmp_path):
    made(tmp_path, "old", 100, 1000)
    made(tmp_path, "new", 200, 2000)
    made(tmp_path, "odd", 300, 1500, content="[")
    (tmp_path / "file").touch()
    assert names(tmp_path) == ["new", "", "old"]
    assert files.compiled_files(tmp_path / "nowhere") == []


def test_beyond_the_size_those_unused_for_the_longest_time_go(tmp_path):
    kept = made(tmp_path, "kept", 1000, 1)
    for used, name in enumerate("abcd", 10):
        made(tmp_path, name, 1000, used)
    files.trim(tmp_path, kept, most=2500)
    assert names(tmp_path) == ["d", "c", "kept"]
    assert not (tmp_path / "spacea").exists(), "nor is an empty folder left"
    files.trim(tmp_path, kept, most=10**6)
    assert len(names(tmp_path)) == 3


def test_what_is_being_compiled_is_not_removed(tmp_path):
    place = made(tmp_path, "busy", 10, 1)
    (found,) = files.compiled_files(tmp_path)
    locked, done = threading.Event(), threading.Event()

    def hold():
        with FileLock(f"{place}.lock"):
            locked.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(10) and files.remove_compiled(found) is False and place.exists()
    done.set()
    thread.join()
    assert files.remove_compiled(found) and not place.exists()


def test_a_use_is_noted(tmp_path):
    place = made(tmp_path, "one", 10, 1)
    files.note_use(place, "one")
    (found,) = files.compiled_files(tmp_path)
    assert found.used > 1000 and found.network == "one"
    files.note_use(tmp_path / "missing", "one")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_command_lists_and_removes_them(command, tmp_path, words):
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    plugins = ("tiny", "numpyrun")
    from PIL import Image

    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    assert (
        command(
            "embed", tmp_path / "a.png", "-m", "colours.tiny", "-o", tmp_path / "a.npz", plugins=plugins, **environment
        ).returncode
        == 0
    )
    listed = command("weights", "compiled", *words, plugins=plugins, **environment)
    assert listed.returncode == 0 and "colours.tiny" in listed.stdout and "numpyrun" in listed.stdout
    if words:
        assert json.loads(listed.stdout)[0]["network"] == "colours.tiny"
    done = command("weights", "compiled", "--clear", plugins=plugins, **environment)
    assert done.stdout.startswith("1 removed")
    assert "colours.tiny" not in command("weights", "compiled", plugins=plugins, **environment).stdout
