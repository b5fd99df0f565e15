"""Many threads on one host, one folder of a library, and one file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sightsound import Library, LibraryError, check, embed, index, search


def test_threads_share_a_host(tiny, zoo):
    """Loading and embedding in eight threads give what one thread gives."""
    expected = embed(zoo / "cats", "colours.tiny", host=tiny).matrix()
    assert len(expected) == 3
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: tiny.load("colours.tiny"), range(40)))
        found = list(pool.map(lambda _: embed(zoo / "cats", "colours.tiny", host=tiny).matrix(), range(16)))
    assert len({model.space.fingerprint for model in loaded}) == 1
    assert all(np.array_equal(rows, expected) for rows in found)


def test_threads_search_and_check_while_one_writes(tiny, zoo, tmp_path):
    """Each thread opens the library itself. Every search gives the items of some commit."""
    where = tmp_path / "lib"
    index(zoo / "cats", where, models=["colours.tiny"], host=tiny)

    def read(_):
        with Library(where) as library:
            return len(search(np.ones(48), library, host=tiny, k=10)), check(library)

    with ThreadPoolExecutor(6) as pool:
        reading = [pool.submit(read, i) for i in range(24)]
        index(zoo, where, models=["colours.tiny", "loudness.tiny"], host=tiny)
        found = [future.result() for future in reading]
    assert {count for count, _ in found} == {3}
    assert all(problems == [] for _, problems in found)


def test_of_many_writers_one_writes_and_the_others_are_refused_in_one_line(tiny, zoo, tmp_path):
    where = tmp_path / "lib"

    def write(_):
        try:
            return index(zoo, where, models=["colours.tiny"], host=tiny).counts["ok"]
        except LibraryError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(write, range(8)))
    assert 3 in ends
    refused = [end for end in ends if isinstance(end, str)]
    assert all("is writing to it" in end and "\n" not in end for end in refused), refused
    assert check(where) == []


def test_a_library_used_in_another_thread_says_so(tiny, zoo, tmp_path):
    index(zoo, tmp_path / "lib", models=["colours.tiny"], host=tiny)
    with Library(tmp_path / "lib") as library, ThreadPoolExecutor(1) as pool:
        assert len(search(np.ones(48), library, host=tiny)) == 3
        with pytest.raises(LibraryError, match="thread"):
            pool.submit(library.items).result()
