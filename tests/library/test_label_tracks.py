"""A folder of label tracks of Audacity and selection tables of Raven, named like the recordings that they are of."""

from __future__ import annotations

import os

import pytest

from library_files import POSIX
from made import write_sound
from sightsound import Library, SightsoundError, import_labels, index

ROWS = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"


def track(*rows):
    return "".join(f"{start}\t{stop}\t{text}\n" for start, stop, text in rows)


def raven(*rows, column="Call"):
    lines = [
        f"{n}\tSpectrogram 1\t1\t{start}\t{stop}\t100\t900\t{text}" for n, (start, stop, text) in enumerate(rows, 1)
    ]
    return "\n".join([f"{ROWS}\t{column}", *lines, ""])


def ranges_of(where):
    """Path -> column, start and label of each time range."""
    with Library(where) as library:
        found = {each.path: [(r.column, r.start, r.value) for r in library.ranges(each.id)] for each in library.items()}
    return {path: ranges for path, ranges in found.items() if ranges}


@pytest.fixture
def tracks(tmp_path):
    (tmp_path / "tracks").mkdir()
    return tmp_path / "tracks"


@pytest.mark.parametrize(
    "name", ["0.txt", "0.wav.txt", "0.TXT", "0.tsv", "0.Table.1.selections.txt", "0.selections.txt"]
)
def test_a_track_is_of_the_recording_of_its_name(where, tracks, command, name):
    (tracks / name).write_text(track((0.5, 1, "hoo")))
    done = command("label", "-l", where, "--from", tracks)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 label of time ranges of 1 item\n", "")
    assert ranges_of(where) == {"dogs/0.wav": [("label", 0.5, "hoo")]}


def test_files_without_a_recording_or_with_a_mistake_are_named_and_the_others_taken(where, tracks, command):
    (tracks / "0.wav").write_bytes(b"beside its track")
    (tracks / ".hidden.txt").write_text("no track")
    (tracks / "0.txt").write_text(track((0.5, 1, "hoo"), (5, 6, "too late")))
    (tracks / "0.Table.2.selections.txt").write_text(raven((1, 1.5, "owl")))
    (tracks / "1.txt").write_text(track((0, 1, "bark"), ("x", 2, "no")))
    (tracks / "7.txt").write_text(track((0, 1, "of nothing")))
    (tracks / "cats").mkdir()
    (tracks / "cats" / "2.txt").write_text("2.png is an image")
    done = command("label", "-l", where, "--from", tracks)
    assert done.returncode == 1 and done.stdout == "2 labels of time ranges of 1 item\n"
    assert done.stderr.splitlines() == [
        f"no item for row 2 of {tracks}/0.txt, which starts at 5 s, after its end at 2 s",
        f"left out: {tracks}/1.txt: row 2: start: expected seconds, got 'x'; correct it",
        f"left out: {tracks}/7.txt: no recording of the library is named '7', whatever its ending; rename it",
        f"left out: {tracks}/cats/2.txt: no recording of the library is named '2', whatever its ending; rename it",
    ]
    expected = {"dogs/0.wav": [("label", 0.5, "hoo"), ("Call", 1, "owl")]}
    assert ranges_of(where) == expected, "of both files, and nothing of a file with a mistake"
    report = import_labels(tracks, where)
    assert (report.items, report.ranges, report.unmatched_count, report.refused_count) == (1, 2, 1, 3)
    assert ranges_of(where) == expected
    (tracks / "0.txt").write_text("")
    import_labels(tracks, where)
    assert ranges_of(where) == {"dogs/0.wav": [("Call", 1, "owl")]}, "an empty track says that there are none"


def test_tables_that_name_their_recordings_may_have_any_name(where, zoo, tracks, command):
    (tracks / "site 4.txt").write_text(
        raven((0, 1, "x")).replace("x\n", f"x\t{zoo}/dogs/1.wav\n").replace("Call\n", "Call\tBegin Path\n")
    )
    (tracks / "0.txt").write_text("what I heard")
    done = command("label", "-l", where, "--from", tracks)
    assert done.returncode == 1 and "0.txt: expected a CSV with a column 'path', got what I heard" in done.stderr
    assert ranges_of(where) == {"dogs/1.wav": [("Call", 0, "x")]}


def test_of_recordings_of_one_name_that_with_most_folders_in_common_counts(where, zoo, tracks, tiny, command):
    for folder in ("a/dogs", "b/dogs", "b/owls"):
        write_sound(zoo / folder / "1.wav", len(folder))
    index(zoo, where, models=["loudness.tiny"], host=tiny)
    for folder in ("b/dogs", "owls", "wrens"):
        (tracks / folder).mkdir(parents=True)
        (tracks / folder / "1.txt").write_text(track((0, 1, folder)))
    (tracks / "1 (owls).txt").write_text(track((1, 2, "as it is written for several of one name")))
    done = command("label", "-l", where, "--from", tracks)
    assert done.returncode == 1 and done.stderr == (
        f"left out: {tracks}/wrens/1.txt: 4 recordings of this name, such as {zoo}/dogs/1.wav; put it into a folder "
        "named like that of its recording, or take it alone (--for RECORDING)\n"
    )
    assert ranges_of(where) == {
        "b/dogs/1.wav": [("label", 0, "b/dogs")],
        "b/owls/1.wav": [("label", 0, "owls"), ("label", 1, "as it is written for several of one name")],
    }


def test_tracks_come_back_from_the_folder_they_were_written_to(where, zoo, tracks, command):
    for name in ("0", "1"):
        (tracks / f"{name}.txt").write_text(track((0.25, 1, f"song {name}")))
    import_labels(tracks, where)
    before = ranges_of(where)
    (tracks.parent / "out").mkdir()
    command("label", "-l", where, "--to", tracks.parent / "out", "--audacity")
    command("label", "-l", where, "--clear", "label", "--ranges", zoo)
    assert ranges_of(where) == {} and len(before) == 2
    assert command("label", "-l", where, "--from", tracks.parent / "out").returncode == 0
    assert ranges_of(where) == before


@pytest.mark.skipif(not POSIX, reason="names that are not UTF-8")
def test_odd_names_of_recordings_are_found(where, zoo, tiny, tracks):
    names = [b"a,b", b"=1+1", b"-x", b"two\nlines", b"caf\xe9", b"a.b", b'"', b"a (b)"]
    for number, name in enumerate(names):
        write_sound(zoo / os.fsdecode(name + b".wav"), number)
        with open(os.path.join(os.fsencode(tracks), name + b".txt"), "w") as opened:
            opened.write(track((0, 1, f"song {number}")))
    index(zoo, where, models=["loudness.tiny"], host=tiny)
    report = import_labels(tracks, where)
    assert (report.items, report.refused) == (len(names), ())
    assert {os.fsencode(path): ranges[0][2] for path, ranges in ranges_of(where).items()} == {
        name + b".wav": f"song {number}" for number, name in enumerate(names)
    }


def test_a_folder_of_which_nothing_can_be_taken_changes_nothing(where, tracks, command):
    with pytest.raises(SightsoundError, match="expected label tracks .*, got none; name their folder"):
        import_labels(tracks, where)
    (tracks / "7.txt").write_text(track((0, 1, "a")))
    done = command("label", "-l", where, "--from", tracks)
    assert done.returncode == 2 and "none of 1 was taken (the first: " in done.stderr and ranges_of(where) == {}
    done = command("label", "-l", where, "--from", tracks, "--for", "dogs/0.wav")
    assert done.returncode == 2 and "whose files are named like recordings; leave out --for" in done.stderr
