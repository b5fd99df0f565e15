"""Sessions: models that stay loaded and a library that stays open, in several threads at once."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import made
import sightsound
from distributions import DISTS
from sightsound import (
    Filter,
    Library,
    LibraryError,
    LinearProbe,
    Session,
    SightsoundError,
    Text,
    fit_probe,
    index,
    load_dataset,
)
from sightsound.library.shared import SharedLibrary
from sightsound.plugin import Output, hookimpl

PLUGINS = ("tiny", "words")
MODELS = ("colours.tiny", "loudness.tiny", "colourwords.words", "soundwords.words")


def register(session, count=True):
    """Register the fake plugins in the host of a session; return how often each network was loaded."""
    loads = Counter()

    class Counting:
        def __init__(self, module):
            self.module = module

        @hookimpl
        def register_embedders(self, register):
            def counted(card, load):
                def loading(device, weights):
                    loads[card.name] += 1
                    time.sleep(0.02)  # so that other threads ask meanwhile
                    return load(device, weights)

                register(card, loading)

            self.module.register_embedders(counted)

    for name in PLUGINS:
        session.host.register(Counting(__import__(f"sightsound_{name}")), name)
    return loads


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    for name in PLUGINS:
        monkeypatch.syspath_prepend(DISTS / name)


@pytest.fixture
def new_zoo(tmp_path):
    """A folder with files that the library does not have."""
    for i in range(4):
        made.write_image(tmp_path / "new" / f"{i}.png", 50 + i)
        made.write_sound(tmp_path / "new" / f"{i}.wav", 50 + i, seconds=1 + i)
    return tmp_path / "new"


@pytest.fixture
def session(zoo, tmp_path):
    with Session(tmp_path / "lib", create=True, installed=False) as opened:
        opened.loads = register(opened)
        opened.index(zoo, models=MODELS)
        opened.loads.clear()
        opened.host.release()
        yield opened


def paths(hits):
    return [hit.item.path for hit in hits]


# -- what it does --------------------------------------------------------------------------------------------------


def test_three_searches_by_file_load_each_network_once(session, new_zoo):
    for i in range(3):
        assert session.search(new_zoo / f"{i}.png")
    assert session.loads == {"colours.tiny": 1, "colourwords.words": 1}


def test_its_methods_give_what_the_functions_give(session, new_zoo, zoo):
    host, library = session.host, session.library
    image, sound = new_zoo / "1.png", new_zoo / "1.wav"
    assert session.search(image, k=3) == sightsound.search(image, library, k=3, host=host)
    assert session.search(Text("red"), where=Filter(modality="image"))
    words = {"classes": ["loud", "quiet"], "models": "soundwords.words"}
    assert [*session.tag(sound, **words)] == [*sightsound.tag(sound, **words, host=host)]
    classes = ["red", "blue"]
    assert (
        session.classify_image(image, classes=classes).top
        == sightsound.classify_image(image, classes=classes, host=host).top
    )
    assert session.classify_sound(sound, model="loudness.tiny").top
    blocks = [np.zeros(1600, np.float32)] * 3
    assert [s.label for s in session.classify_stream(blocks, 1600, model="loudness.tiny")] == ["quiet"]
    rows = session.embed(image, "colours.tiny").matrix()
    assert rows == pytest.approx(sightsound.embed(image, "colours.tiny", host=host).matrix())
    session.index(zoo, models=["loudness.tiny"])
    assert session.search_tags("loud", k=2) == sightsound.search_tags("loud", library, k=2, host=host)


def test_a_probe_classifies_files_and_the_library(session, shades, new):
    session.index(shades, models=["colours.tiny"], label_from="folder")
    probe = fit_probe(load_dataset(session.library, "colours.tiny"), LinearProbe(Cs=(1.0,)), curve=False)
    found = [*session.predict(probe, new)]
    assert [each.top[0].label for each in found[:2]] == ["red", "blue"]
    assert len([*sightsound.predict_stored(probe, session.library)]) == 39
    assert session.loads["colours.tiny"] == 1


def test_at_most_so_many_models_stay_loaded(zoo, new_zoo):
    with Session(keep=1, installed=False) as session:
        loads = register(session)
        for name in ("colours.tiny", "loudness.tiny", "loudness.tiny", "colours.tiny"):
            session.host.load(name)
        assert loads == {"colours.tiny": 2, "loudness.tiny": 1}
    for keep in (0, -1, True, "two"):
        with pytest.raises(SightsoundError, match="keep: expected a whole number from 1, got"):
            Session(keep=keep)


def test_a_plugin_that_is_registered_later_changes_the_models(session):
    import sightsound

    before = session.host.load("colours.tiny")

    class Half:
        @hookimpl(wrapper=True)
        def postprocess(self, embedder, output):
            rows = yield
            return rows / 2

    session.host.register(Half(), "half")
    assert session.host.load("colours.tiny") is not before
    assert isinstance(session.host, sightsound.Host)


# -- its library ---------------------------------------------------------------------------------------------------


def test_rows_that_another_process_adds_are_found(session, new_zoo, command):
    query = new_zoo / "0.png"
    before = paths(session.search(query, models=["colours.tiny"], k=99))
    (query.parent / "copy.png").write_bytes(query.read_bytes() + b" ")
    words = ("index", new_zoo, "-l", session.library.path, "-m", "colours.tiny")
    assert command(*words, process=True).returncode == 0
    after = paths(session.search(query, models=["colours.tiny"], k=99))
    assert before and after[0] == "copy.png" and set(before) < set(after)


def test_rows_that_another_session_adds_are_found(session, new_zoo):
    before = len(session.library.items())
    with Session(session.library.path, installed=False) as other:
        register(other)
        other.index(new_zoo, models=["loudness.tiny"])
        assert len(other.library.items()) == len(session.library.items()) == before + 8
    assert "3.wav" in paths(session.search(new_zoo / "2.wav", models=["loudness.tiny"]))


def test_a_session_without_a_library_has_models_alone(new_zoo):
    with Session(installed=False) as session:
        register(session)
        assert len([*session.tag(new_zoo, models="loudness.tiny")]) == 4
        with pytest.raises(
            SightsoundError, match=r"session: it has no library; open one with it, as in Session\('zoo'\)"
        ):
            session.search(new_zoo / "0.png")
        assert repr(session) == "Session(None, keep=4, device='auto')"


def test_a_library_that_does_not_exist_is_refused(tmp_path):
    before = threading.active_count()
    with pytest.raises(LibraryError, match="no library at"):
        Session(tmp_path / "none")
    assert threading.active_count() == before


def test_closing_closes_the_library_and_ends_its_thread(zoo, tmp_path, new_zoo):
    before = threading.active_count()
    session = Session(tmp_path / "lib", create=True, keep=2, installed=False)
    register(session)
    library, tagged = session.library, session.tag(new_zoo, models="loudness.tiny")
    assert repr(session) == f"Session('{tmp_path / 'lib'}', keep=2, device='auto')"
    assert library.items() == [] and threading.active_count() == before + 1
    session.close()
    session.close()
    assert repr(session).endswith(", closed)") and threading.active_count() == before
    for read in (library.items, lambda: library.spaces, lambda: library.search({})):
        with pytest.raises(LibraryError, match="lib: the library was closed"):
            read()
    for call in (lambda: session.search("x"), lambda: session.tag(new_zoo), lambda: session.embed(new_zoo)):
        with pytest.raises(SightsoundError, match="closed"):
            call()
    assert len([*tagged]) == 4, "what began before goes on"


def test_a_library_of_an_older_format_is_read_and_written(tmp_path, zoo):
    import gzip
    from pathlib import Path

    (tmp_path / "old").mkdir()
    old = Path(__file__).parent / "libraries" / "format2.sqlite.gz"
    (tmp_path / "old" / "library.sqlite").write_bytes(gzip.decompress(old.read_bytes()))
    with Session(tmp_path / "old", installed=False) as session:
        register(session)
        before = len(session.library.items())
        session.index(zoo, models=["colourwords.words"])
        assert len(session.library.items()) == before + 5
        assert len(session.search(zoo / "cats" / "0.png", models=["colourwords.words"])) == 2


def test_every_read_of_a_library_has_its_thread():
    """A method that is added to `Library` must be added there too."""
    bases = [base for base in Library.__mro__ if base.__module__.startswith("sightsound.")]
    public = {name for base in bases for name in vars(base) if not name.startswith("_")}
    assert public <= set(vars(SharedLibrary)), public - set(vars(SharedLibrary))


# -- several threads -----------------------------------------------------------------------------------------------


def test_eight_threads_get_what_one_gets_and_load_each_network_once(session, new_zoo):
    def search(query, **options):
        return lambda: [(hit.item, hit.score, hit.seconds, hit.spaces) for hit in session.search(query, **options)]

    def tag(path, **options):
        return lambda: [(found.item, found.top, found.segments) for found in session.tag(path, **options)]

    calls = [search(new_zoo / f"{i}.{kind}") for i in range(4) for kind in ("png", "wav")]
    calls += [search(Text(text)) for text in ("red", "loud", "a quiet blue")]
    calls += [tag(new_zoo / f"{i}.wav", models="loudness.tiny") for i in range(4)]
    calls += [tag(new_zoo, classes=["loud", "quiet", "red"])]
    calls += [lambda: session.embed(new_zoo / "1.wav", "soundwords.words").matrix().tolist()]
    expected = [call() for call in calls]
    assert all(expected)
    session.host.release()
    session.loads.clear()
    jobs = [i for _ in range(4) for i in range(len(calls))]
    random.Random(0).shuffle(jobs)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: calls[i](), jobs))
    for i, got in zip(jobs, found):
        assert got == expected[i]
    assert session.loads == dict.fromkeys(MODELS, 1)


def test_a_network_of_one_worker_runs_in_one_thread_at_a_time(session, new_zoo):
    """Also if several threads use it; so its buffers need no lock."""
    import sightsound_words

    running, most = Counter(), Counter()

    class Alone(sightsound_words.SoundWords):
        card = dataclasses.replace(sightsound_words.LOUDNESS, name="alone.words")
        workers = 1

        def embed(self, inputs):
            return self.counted("embed", lambda: super(Alone, self).embed(inputs))

        def text(self, texts):
            self._tower = self._tower or sightsound_words.TextTower("soundwords.words", 2)
            return self.counted("text", lambda: super(Alone, self).text(texts))

        def counted(self, what, call):
            running[what] += 1
            most[what] = max(most[what], running[what])
            time.sleep(0.005)
            try:
                found = call()
                rows = found.embeddings if isinstance(found, Output) else found
                self.buffer = rows.copy()  # what it returned before is overwritten
                return Output(self.buffer) if isinstance(found, Output) else self.buffer
            finally:
                running[what] -= 1

    class Plugin:
        @hookimpl
        def register_embedders(self, register):
            register(Alone.card, lambda device, weights: Alone())

    session.host.register(Plugin(), "alone")
    jobs = [lambda: [*session.tag(new_zoo, classes=["loud", "quiet"], models="alone.words")] for _ in range(12)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda job: job(), jobs))
    assert most == {"embed": 1, "text": 1}
    assert all(each == found[0] for each in found) and len(found[0]) == 4


def test_a_network_that_is_loaded_does_not_stop_another_that_runs(session, new_zoo):
    """The second search ends while the first still waits for its network."""
    go_on = threading.Event()
    import sightsound_tiny

    slow = dataclasses.replace(sightsound_tiny.COLOURS, name="slow.tiny")

    class Slow(sightsound_tiny.Colours):
        card = slow

    class Plugin:
        @hookimpl
        def register_embedders(self, register):
            register(slow, lambda device, weights: (go_on.wait(60), Slow())[1])

    session.host.register(Plugin(), "slow")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: session.embed(new_zoo / "0.png", "slow.tiny").matrix())
        try:
            assert session.search(new_zoo / "0.png", models=["colours.tiny"]) and not waiting.done()
        finally:
            go_on.set()
        assert waiting.result().shape == (1, 48)


def test_searches_while_the_session_indexes_see_whole_files(session, new_zoo, tmp_path):
    for i in range(40):
        made.write_image(tmp_path / "many" / f"{i}.png", 100 + i)
    seen = []
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(session.index, tmp_path / "many", models=["colours.tiny"])
        while not writing.done():
            seen.append(len(session.search(new_zoo / "0.png", models=["colours.tiny"], k=99)))
        assert writing.result().counts["ok"] == 40
    assert seen == sorted(seen) and len(session.search(new_zoo / "0.png", models=["colours.tiny"], k=99)) == 43
    with Library(session.library.path) as library:
        assert sightsound.check(library) == []


def test_the_library_of_a_session_is_one_for_other_functions_too(session, zoo):
    assert sightsound.stats(session.library).items == 5
    assert index(zoo, session.library, models=["colours.tiny"], host=session.host).counts["unchanged"] == 3
