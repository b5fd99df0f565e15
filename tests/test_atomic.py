"""Files appear when they are whole."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from sightsound import SightsoundError
from sightsound._atomic import draft


def test_a_file_appears_when_it_is_whole(tmp_path):
    with draft(tmp_path / "a.csv") as part:
        part.write_text("half")
        assert part.suffix == ".csv" and not (tmp_path / "a.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "a.csv").write_text("before")
    with pytest.raises(UnicodeEncodeError), draft(tmp_path / "a.csv") as part:
        part.write_text("half\udc80", encoding="utf-8")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "before")]


def test_a_pipe_is_written_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    with draft(tmp_path / "pipe") as part:
        part.write_text("hello")
    reader.join()
    assert read == ["hello"] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_folder_and_a_missing_folder_are_told(tmp_path):
    for place, why in ((tmp_path, "Is a directory"), (tmp_path / "gone" / "a", "No such file or directory")):
        told = rf"cannot be written \({why}\); name another place"
        with pytest.raises(SightsoundError, match=told), draft(place) as part:
            part.write_text("x")
