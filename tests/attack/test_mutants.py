"""Damaged libraries, probes, vectors, ontologies, tables of labels and media, under limits of memory and time.

Each command ends with an answer or one line, and where the numbers of an answer differ, `check` finds the damage.
"""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
import soundfile

from attack.damage import damaged, odd_json
from attack.media_files import MediaGround
from attack.mutants import MEMORY, TARGETS, Absent, Ground


@pytest.fixture(scope="module")
def media(forks, tmp_path_factory):
    """Valid media files of every kind, and a folder for damaged ones."""
    return MediaGround(tmp_path_factory.mktemp("media"), forks)


def prepared(name, folder, forks):
    """The target of a name, or skip the test if its weights are not on this machine."""
    try:
        return Ground(TARGETS[name], folder / "ground", forks)
    except Absent as error:
        pytest.skip(str(error))


QUICK = ("library", "rows of a library", "metadata of a probe", "ontology", "table of labels")
"""One target for each kind of file and of damage; the slow tests take them all."""


@pytest.mark.parametrize("name", QUICK)
def test_a_damaged_file_gives_an_answer_or_one_line(forks, tmp_path, name):
    ground = prepared(name, tmp_path, forks)
    ground.attack(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_many_damaged_files_give_an_answer_or_one_line(forks, tmp_path, name):
    ground = prepared(name, tmp_path, forks)
    for seed in range(1000, 1030):
        ground.attack(seed)


def test_each_of_many_damaged_media_files_has_an_outcome(media):
    media.attack(0)


def test_each_odd_sound_image_and_name_has_an_outcome(media):
    media.odd(0)
    media.odd_names(0)


@pytest.mark.slow
def test_each_of_a_thousand_damaged_media_files_has_an_outcome(media):
    for seed in range(1, 31):
        media.attack(seed)


def test_the_valid_media_are_of_every_kind_and_can_be_read(forks, media, tmp_path):
    """Without this, the tests of damaged media could be about files that no decoder reads."""
    models = ("-m", "colours.tiny", "-m", "loudness.tiny")
    ran = forks.run(["index", media.valid, "-l", tmp_path / "lib", *models, "--json"])
    counts = json.loads(ran.text[ran.text.index("{") :])["counts"]
    assert len(media.files) > 150 and counts["ok"] > 0.7 * len(media.files), counts


def test_damage_is_the_same_for_the_same_seed_and_nearly_always_a_change():
    data = bytes(range(256)) * 8
    made = [damaged(data, random.Random(seed)) for seed in range(200)]
    assert made == [damaged(data, random.Random(seed)) for seed in range(200)]
    assert sum(other == data for other in made) < 10
    text = json.dumps({"a": [1, 2, {"b": "c"}]})
    assert len({odd_json(text, random.Random(seed)) for seed in range(50)}) > 20


@pytest.mark.slow
def test_the_limits_of_memory_and_time_hold(forks, tmp_path):
    """A command under too small a limit fails, one that waits is ended."""
    (tmp_path / "a.wav").write_bytes(b"")
    small = forks.run(["index", tmp_path, "-l", tmp_path / "lib"], memory=1)
    assert small.code not in (0, 1) or re.search("memory|MemoryError", small.text, re.IGNORECASE), small
    for number in range(300):
        soundfile.write(tmp_path / f"{number}.wav", np.full(16000, number / 300), 16000)
    words, threads = ["index", tmp_path, "-l", tmp_path / "lib", "-m", "loudness.tiny"], {"SIGHTSOUND_THREADS": "300"}
    threads = forks.run(words, memory=200_000_000, environment=threads)
    assert threads.code == 2 and "cannot start a thread" in threads.text, threads
    assert "Traceback" not in threads.text
    ended = forks.run(["models"], seconds=0)
    assert ended.code == -14
    assert MEMORY > 2**20
