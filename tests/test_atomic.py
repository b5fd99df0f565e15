"""Atomic writes: a file appears when it is complete, or what was there before stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sightsound import SightsoundError
from sightsound._atomic import atomic_path, check_writable


def test_a_file_appears_when_it_is_complete(tmp_path):
    with atomic_path(tmp_path / "a.csv") as part:
        part.write_text("half")
        assert part.suffix == ".csv" and not (tmp_path / "a.csv").exists()
        part.write_text("whole")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "whole")]


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    (tmp_path / "a.csv").write_text("before")
    parts = []
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.csv") as part:  # noqa: PT012
        parts.append(part.write_text("first"))
        raise ZeroDivisionError
    assert parts == [5], "something was written before the failure"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "before")]


def test_the_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append((os.fstat(number).st_ino, file.exists())))
    file = tmp_path / "a.csv"
    with atomic_path(file) as part:
        part.write_text("whole")
    assert synced == [(file.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_each_write_has_a_folder_of_its_own_that_nobody_else_may_enter(tmp_path):
    with atomic_path(tmp_path / "a") as first, atomic_path(tmp_path / "a") as second:
        assert first.parent != second.parent
        assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a").read_text() == "1", "the outer block ends last"


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "other").write_text("")
    with atomic_path(tmp_path / "a") as part:
        part.write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    file = tmp_path / ("a" * 251 + ".csv")
    with atomic_path(file) as part:
        part.write_text("whole")
    assert file.read_text() == "whole"


def test_a_pipe_is_written_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    with atomic_path(tmp_path / "pipe") as part:
        part.write_text("hello")
    reader.join()
    assert read == ["hello"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_folder_and_a_missing_folder_are_errors(tmp_path):
    for place, why in ((tmp_path, "Is a directory"), (tmp_path / "gone" / "a", "No such file or directory")):
        error = rf"cannot be written \({why}\); name another place"
        with pytest.raises(SightsoundError, match=error), atomic_path(place) as part:
            part.write_text("x")


def test_a_place_can_be_checked_before_the_work(tmp_path):
    check_writable(tmp_path / "a")
    with pytest.raises(SightsoundError, match=r"cannot be written \(No such file or directory\)"):
        check_writable(tmp_path / "gone" / "a")
    assert list(tmp_path.iterdir()) == []


def folders_of_killed(target):
    """Let a process be killed while it writes; return the names beside the file that it left."""
    code = (
        "import os, signal, sys; from sightsound._atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as part:\n    part.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -signal.SIGKILL
    left = [path for path in target.parent.iterdir() if path.name.startswith(".sightsound-")]
    assert left and not target.exists(), "something was left behind"
    return left


@pytest.mark.skipif(os.name != "posix", reason="needs locks on folders")
def test_what_a_killed_process_left_is_removed_when_the_same_file_is_written_again(tmp_path):
    folders_of_killed(tmp_path / "a.csv")
    folders_of_killed(tmp_path / "b.csv")
    for name in ("a.csv", "b.csv"):
        with atomic_path(tmp_path / name) as part:
            part.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.skipif(os.name != "posix", reason="needs locks on folders")
@pytest.mark.parametrize("kind", ["in use", "other content", "a link", "open to others", "a file"])
def test_a_folder_that_a_killed_process_did_not_leave_stays(tmp_path, kind):
    (left,) = folders_of_killed(tmp_path / "a.csv")
    with contextlib.ExitStack() as stack:
        if kind == "in use":
            stack.enter_context(atomic_path(tmp_path / "a.csv")).write_text("mine")
        elif kind == "other content":
            (left / "b").write_text("mine")
        elif kind == "a link":
            left.rename(tmp_path / "elsewhere")
            left.symlink_to(tmp_path / "elsewhere")
        elif kind == "open to others":
            left.chmod(0o755)
        else:
            shutil.rmtree(left)
            left.write_text("mine")
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with atomic_path(tmp_path / "a.csv") as part:
            assert part.parent != left
            part.write_text("whole")
        assert before.items() <= {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}.items()
        assert (tmp_path / "a.csv").read_text() == "whole"


def test_many_threads_write_the_same_file_and_leave_nothing_else(tmp_path):
    def write(number):
        with atomic_path(tmp_path / "a.csv") as part:
            part.write_text(str(number) * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(10, 60)))
    (only,) = tmp_path.iterdir()
    assert len(set(zip(*[iter(only.read_text())] * (len(only.read_text()) // 1000)))) == 1, "one writer's content"
