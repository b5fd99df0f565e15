"""Odd folders: one that cannot be entered, listed or named never ends a run, and the other files are indexed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from made import ordinary_user, write_image
from sightsound import Host, IndexReport, Library, MediaError, SightsoundError, embed, forget, index, media, search, tag
from sightsound.media import files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="trees of POSIX")

LETTERS = "a" * 200


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A folder with an image; whatever a test makes below it is removed, which Python's own `rmtree` may not do."""
    folder = tmp_path / "tree"
    write_image(folder / "first.png", 1)
    write_image(folder / "z" / "last.png", 2)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def nest(folder: Path, names: list[str]) -> None:
    """Make folders in one another, with an image in the innermost."""
    image = write_image(folder.parent / "inner.png", 3).read_bytes()
    at = os.open(folder, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    with open(os.open("inner.png", os.O_WRONLY | os.O_CREAT, dir_fd=at), "wb") as file:
        file.write(image)
    os.close(at)


@contextlib.contextmanager
def entered_by_all(folder: Path) -> Iterator[None]:
    """Any user may enter `folder` and all above it meanwhile, and read `folder`."""
    changed = [(part, part.stat().st_mode & 0o7777) for part in (folder, *folder.parents)]
    changed = [(part, mode) for part, mode in changed if part.stat().st_uid == os.geteuid() and mode & 5 != 5]
    for part, mode in changed:
        part.chmod(mode | 0o055)
    try:
        yield
    finally:
        for part, mode in reversed(changed):
            part.chmod(mode)


def indexed(folder: Path, host: Host) -> IndexReport:
    return index(folder, folder.parent / "lib", models=["colours.tiny"], host=host)


def reasons(report: IndexReport) -> list[str]:
    return [outcome.reason for outcome in report.failed]


def test_a_folder_that_can_be_listed_but_not_entered_has_an_outcome(tree: Path, tiny: Host, tmp_path: Path) -> None:
    write_image(tree / "half" / "sub" / "a.png", 4)
    write_image(tree / "half" / "b.png", 5)
    index(tree / "z", tmp_path / "other", models=["colours.tiny"], host=tiny)  # imports what the user may not read
    (tmp_path / "lib").mkdir(mode=0o777)
    (tmp_path / "lib").chmod(0o777)
    with entered_by_all(tree):
        (tree / "half").chmod(0o444)
        try:
            with ordinary_user():
                report = indexed(tree, tiny)
        finally:
            (tree / "half").chmod(0o755)
    assert report.counts == {"ok": 2, "failed": 2}
    assert "half/sub: cannot read folder (Permission denied)" in reasons(report)
    assert indexed(tree, tiny).counts == {"ok": 2, "unchanged": 2}, "the next run, which may enter it, has all files"


def test_a_path_that_is_too_long_for_the_system_has_an_outcome(tree: Path, tiny: Host) -> None:
    nest(tree, [LETTERS] * 25)
    report = indexed(tree, tiny)
    assert report.counts == {"ok": 2, "failed": 1}
    assert reasons(report)[0].endswith(f"{LETTERS}: cannot read folder (File name too long)")


def test_a_file_whose_path_is_too_long_for_the_system_has_an_outcome(tree: Path, tiny: Host) -> None:
    room = os.pathconf("/", "PC_PATH_MAX") - 1 - len(os.fsencode(tree))  # the folders fit, the image in them does not
    whole, rest = divmod(room - 2, len(LETTERS) + 1)
    nest(tree, [LETTERS] * whole + ["b" * (rest - 1)] * (rest > 1))
    report = indexed(tree, tiny)
    assert report.counts == {"ok": 2, "failed": 1}
    assert "name too long" in reasons(report)[0]


@pytest.mark.parametrize("depth", [sys.getrecursionlimit()])
def test_files_in_any_depth_are_indexed(tree: Path, tiny: Host, depth: int) -> None:
    nest(tree, ["d"] * depth)
    assert indexed(tree, tiny).counts == {"ok": 3}
    with Library(tree.parent / "lib") as library:
        assert len({item.path for item in library.items()}) == 3
    assert len(forget(tree, tree.parent / "lib")) == 3


def test_embed_and_tag_walk_the_same_trees(tree: Path, tiny: Host, warm: str) -> None:
    nest(tree, [LETTERS] * 25)
    found = [each.outcome.status for each in tag(tree, models=warm, host=tiny)]
    assert sorted(found) == ["failed", "ok", "ok"]
    with pytest.warns(UserWarning, match="File name too long"):
        assert len(list(embed(tree, "colours.tiny", host=tiny))) == 2


def test_a_listing_that_breaks_off_keeps_what_it_gave(tree: Path, tiny: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector in a folder: the entries before it are indexed, and the folder has an outcome."""
    for i in range(5):
        write_image(tree / "bad" / f"{i}.png", 10 + i)
    scandir = os.scandir

    @contextlib.contextmanager
    def breaks(path):
        def entries():
            with scandir(path) as found:
                for count, entry in enumerate(found):
                    if count == 2 and str(path).endswith("bad"):
                        raise OSError(5, "Input/output error")
                    yield entry

        yield entries()

    monkeypatch.setattr(os, "scandir", breaks)
    report = indexed(tree, tiny)
    assert report.counts == {"ok": 4, "failed": 1}
    assert reasons(report) == ["bad: cannot read folder (Input/output error)"]


def test_files_come_in_the_order_of_names_before_the_folders_beside_them(tree: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a/c/3.png", "a/d.png"):
        write_image(tree / name)
    found = [item.path for item in files.find_items([tree])]
    assert found == ["first.png", "a/d.png", "a/c/3.png", "b/1.png", "b/2.png", "z/last.png"]


@pytest.mark.parametrize("call", [files.find_items, files.existing_paths, index, tag, embed])
def test_an_empty_path_is_refused(call, tree: Path, tiny: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable in a script gives one. It must not mean the working folder."""
    monkeypatch.chdir(tree)
    assert indexed(tree, tiny).counts == {"ok": 2}, "there is something in the working folder"
    library = {"library": tree.parent / "lib"} if call is index else {}
    with pytest.raises(SightsoundError, match=r'"": an empty path; name a file or a folder, or "\."'):
        list(call(["", tree], **library))


def test_an_empty_path_is_refused_by_the_command_line(command, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    done = command("index", "", "--library", tree.parent / "lib", "--model", "colours.tiny")
    assert (done.returncode, done.stdout) == (2, "")
    assert "an empty path" in done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file whose first bytes cannot be read")
def test_a_file_whose_first_bytes_cannot_be_read_has_an_outcome(tree: Path, tiny: Host, warm: str) -> None:
    (tree / "bad.png").symlink_to("/proc/self/mem")
    assert indexed(tree, tiny).counts == {"ok": 2, "failed": 1}
    found = {each.item.path: each.outcome for each in tag(tree, models=warm, host=tiny)}
    assert [outcome.status for outcome in found.values()].count("ok") == 2
    assert found["bad.png"].reason == "cannot be read, Input/output error; copy it anew, or leave it out"
    with pytest.raises(MediaError, match=r"bad\.png: cannot be read, Input/output error"):
        search(tree / "bad.png", tree.parent / "lib", host=tiny)


def test_a_query_that_cannot_be_read_to_its_end_is_refused(
    tree: Path, tiny: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(tree, tiny)
    assert search(tree / "first.png", tree.parent / "lib", host=tiny)

    def fails(file, name):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("hashlib.file_digest", fails)
    with pytest.raises(MediaError, match=r"first\.png: cannot be read, Input/output error"):
        search(tree / "first.png", tree.parent / "lib", host=tiny)


NASTY = "x\x1b]0;PWNED\x07\nsightsound: all fine"


@pytest.mark.parametrize("verbose", [[], ["-v"]])
@pytest.mark.parametrize("words", [("index",), ("embed",), ("tag",)])
def test_names_reach_the_terminal_escaped(command, tree: Path, words: tuple[str, ...], verbose: list[str]) -> None:
    """A name may contain commands for the terminal, or look like a line of the program."""
    (tree / NASTY).symlink_to(tree / "z")
    (tree / f"{NASTY}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    write_image(tree / f"{NASTY}2.png")
    options = {
        "index": ["--library", tree.parent / "lib", "--model", "colours.tiny"],
        "embed": ["--model", "colours.tiny", "--out", tree.parent / "rows.npz"],
    }
    done = command(*verbose, *words, tree, *options.get(words[0], []))
    shown = done.stdout + done.stderr
    assert "PWNED" in shown, "the names are shown"
    assert "\x1b" not in shown and "\x07" not in shown
    assert "sightsound: all fine" not in shown.splitlines()


def test_a_file_that_a_decoder_cannot_even_look_at_has_an_outcome(
    tree: Path, tiny: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tree / "odd.png", 7)
    identify = media.identify

    def fails(path):
        if path.name == "odd.png":
            raise RuntimeError("a decoder fell over")
        return identify(path)

    monkeypatch.setattr(media, "identify", fails)
    report = indexed(tree, tiny)
    assert report.counts == {"ok": 2, "failed": 1}
    assert reasons(report) == ["RuntimeError: a decoder fell over"]
