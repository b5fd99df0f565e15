"""Kills, torn writes and failing disks at a chosen system call of every command that writes.

After each the library must be sound, no traceback may be printed, and the same command must come to the same end as
without the fault.
"""

from __future__ import annotations

import errno
import random

import pytest

from attack.scenarios import SCENARIOS
from attack.scenes import FAULTS, Scene, content
from sightsound import _atomic

QUICK = (
    *("index --label-from folder", "index what changed", "forget --missing", "migrate format 2", "embed"),
    "weights get (unknown)",
)


@pytest.mark.parametrize("name", QUICK)
def test_a_fault_at_a_sampled_call_is_made_good_by_the_same_command(faulty_forks, tmp_path, name):
    scene, random_ = Scene(SCENARIOS[name], tmp_path / "scene", faulty_forks), random.Random(name)
    for kind in random_.sample(sorted(FAULTS), 2):
        scene.attack(kind, random_.randint(1, scene.calls))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_many_calls_is_made_good_by_the_same_command(faulty_forks, tmp_path, name, kind):
    scene, random_ = Scene(SCENARIOS[name], tmp_path / "scene", faulty_forks), random.Random(f"{name} {kind}")
    for nth in random_.sample(range(1, scene.calls + 1), min(2, scene.calls)):
        scene.attack(kind, nth)


def test_the_faults_happen(faulty_forks, tmp_path):
    """Without this, the tests above could pass because no call is ever intercepted."""
    scene = Scene(SCENARIOS["embed"], tmp_path / "scene", faulty_forks)
    ends = {}
    for kind, (mode, number) in FAULTS.items():
        (scene.case / "out.npz").write_bytes(b"old")
        ran = scene.run(scene.fault(mode, 3, number))
        ends[kind] = ran.code, content(scene.case) == {"out.npz": b"old"}
    assert ends == {"kill": (-9, True), "torn write": (-9, True)} | dict.fromkeys(
        ("ENOSPC once", "EIO once", "full disk"), (2, True)
    )


def test_a_disk_that_fails_while_a_library_is_created_is_one_line(command, tmp_path, monkeypatch):
    def fails(part, target):
        assert part.stat().st_size > 0, "something was written before the failure"
        raise OSError(errno.EIO, "Input/output error", str(part))

    monkeypatch.setattr(_atomic, "replace", fails)
    (tmp_path / "media").mkdir()
    ran = command("index", tmp_path / "media", "-l", tmp_path / "lib")
    assert ran.returncode == 2
    assert ran.stderr == (
        f"sightsound: {tmp_path / 'lib'}: cannot make a library here (Input/output error); name another --library\n"
    )
    monkeypatch.undo()
    assert command("index", tmp_path / "media", "-l", tmp_path / "lib").returncode == 0
