"""Many processes that read a library while another one indexes, forgets and compacts."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sightsound import Item, Library, check, compact
from sightsound.contract.results import Outcome, Rows
from sightsound.contract.space import Space
from sightsound.library.store import segments

SPACE = Space("net.made", json.dumps({"dim": 8, "modality": "image", "stages": []}))
LONGEST = 300
"""Seconds after which processes are taken to hang."""


def add(writer, number):
    """Add content N as `crowd_reader` expects it, in two steps."""
    item = Item("/made", str(number))
    writer.items.record(item, (0, 0), hashlib.sha256(str(number).encode()).digest(), "image")
    rows = np.ones((1 + number % 7, 8), np.float32)
    rows[:, 0], rows[:, 1] = number, np.arange(len(rows))
    spans = np.arange(len(rows))[:, None] + np.array([0.0, 1.0])
    for part in (slice(None, 2), slice(2, None)):
        writer.add_rows(Rows(item, spans[part], rows[part]), writer.space_id(SPACE))
    writer.outcomes.record(Outcome(item, "ok"), writer.space_id(SPACE))


@pytest.mark.slow
def test_ten_readers_beside_a_writer_find_all_that_was_committed(tmp_path, monkeypatch):
    write_beside_readers(tmp_path, monkeypatch, readers=10, seconds=10)


def write_beside_readers(folder, monkeypatch, readers, seconds):
    """Write at random while others read, for so many seconds at least and until each has read ten times."""
    monkeypatch.setattr(segments, "MAX_BYTES", 32 * 100)
    where, stop, chance = folder / "lib", folder / "stop", random.Random(1)
    with Library(where, create=True) as library, library.writing() as writer:
        for number in range(20):
            add(writer, number)
    script = Path(__file__).with_name("crowd_reader.py")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, script, where, stop]
    running = [
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
        for _ in range(readers)
    ]
    next_, began = 20, time.monotonic()
    try:
        while time.monotonic() < began + seconds or len(list(folder.glob("stop.*"))) < readers:
            if any(each.poll() is not None for each in running) or time.monotonic() > began + LONGEST:
                break
            next_ = write(where, next_, chance)
    finally:
        stop.touch()
    ended = [(each.communicate(timeout=LONGEST)[1], each.returncode) for each in running]
    wrong = [error for error, code in ended if error or code]
    assert not wrong, wrong[0]
    assert len(list(folder.glob("stop.*"))) == readers
    assert check(where) == []


def write(where, next_, chance):
    """Add, forget or compact; return the next number."""
    what = chance.choice(["add", "add", "forget", "compact"])
    if what == "compact":
        compact(where)
        return next_
    with Library(where) as library, library.writing() as writer:
        if what == "add":
            for number in range(next_, next_ + 10):
                add(writer, number)
                if chance.random() < 0.3:
                    writer.commit()
            return next_ + 10
        odd = [item.id for item in library.items() if int(item.path) % 2]
        writer.forget(chance.sample(odd, len(odd) // 2))
    return next_
