"""Commands that write, each with what is there before, and the faults that are tried on them."""

from __future__ import annotations

import errno
import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attack.forks import COUNT, FAIL, FULL, KILL, TEAR, Fault, Forks, Ran
from made import write_image, write_shade, write_sound
from sightsound import Library, check

LIBRARIES = Path(__file__).parents[1] / "libraries"
MODELS = ("-m", "colours.tiny", "-m", "loudness.tiny")
FAULTS = {
    "kill": (KILL, 0),
    "torn write": (TEAR, 0),
    "ENOSPC once": (FAIL, errno.ENOSPC),
    "EIO once": (FAIL, errno.EIO),
    "full disk": (FULL, errno.ENOSPC),
}


@dataclass(frozen=True)
class Scenario:
    """A command that writes below a folder `case`.

    `prepare(scene)` makes the state before. `words` is the command line, in which {media} and {case} are folders.
    `codes` are its exit codes without a fault, `imports` the modules that it needs and that take long to import.
    """

    name: str
    words: tuple[str, ...]
    prepare: Callable[[Scene], None] | None = None
    codes: frozenset[int] = frozenset({0})
    imports: tuple[str, ...] = ()


@dataclass
class Scene:
    """A scenario on disk: the media, the state before the command, and the folder in which it runs."""

    scenario: Scenario
    folder: Path
    forks: Forks
    expected: dict = field(default_factory=dict)
    calls: int = 0
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.media, self.before, self.case = (self.folder / name for name in ("media", "before", "case"))
        write_media(self.media)
        self.case.mkdir(parents=True)
        if self.scenario.prepare:
            self.scenario.prepare(self)
        shutil.copytree(self.case, self.before)
        self.inputs = tree(self.media)
        ran = self.run(self.fault(COUNT))
        assert ran.code in self.scenario.codes, ran.text
        self.calls, self.expected, self.names = ran.calls, content(self.case), self._leftovers()
        assert self.calls > 0, "a scenario without a write shows nothing"
        assert self.expected, "a scenario without a result shows nothing"

    def words(self, words: tuple[str, ...]) -> list[str]:
        """Return a command line with the folders in it."""
        return [word.format(media=self.media, case=self.case) for word in words]

    def run(self, fault: Fault | None = None) -> Ran:
        """Run the command from the state that is there."""
        return self.forks.run(self.words(self.scenario.words), fault, imports=self.scenario.imports)

    def fault(self, mode: int, nth: int = 0, number: int = 0) -> Fault:
        """Return a fault in the folder of the command."""
        return Fault(self.case, mode, nth, number)

    def attack(self, kind: str, nth: int) -> None:
        """Run the command with a fault at its Nth call, then without, and assert what must hold after both."""
        shutil.rmtree(self.case)
        shutil.copytree(self.before, self.case)
        mode, number = FAULTS[kind]
        ran = self.run(self.fault(mode, nth, number))
        told = f"{self.scenario.name}, {kind} at call {nth} of {self.calls}: exit code {ran.code}\n{ran.text}"
        assert "Traceback" not in ran.text, told
        assert ran.code in (((-9,) if mode in (KILL, TEAR) else (0, 1, 2)) + tuple(self.scenario.codes)), told
        self._assert_sound(told)
        if ran.code == 0 and not self.scenario.codes - {0}:
            assert content(self.case) == self.expected, told
        again = self.run()
        assert "Traceback" not in again.text, f"{told}\nand then:\n{again.text}"
        assert again.code in (0, 1, 2), f"{told}\nand then {again.code}:\n{again.text}"
        self._assert_sound(told)
        assert content(self.case) == self.expected, f"{told}\nand then:\n{again.text}"
        assert tree(self.media) == self.inputs, f"the media were changed\n{told}"
        assert self._leftovers() <= self.names, f"left behind: {self._leftovers() - self.names}\n{told}"

    def _leftovers(self) -> set[str]:
        """Return the files of the folder but for those of SQLite, the lock, killed outputs, and copies of old formats.

        A migration that is killed after its copy makes another copy the next time.
        """
        kept = (".sightsound-", "lib/writer.", "lib/library.format")
        names = {name for name in tree(self.case) if not name.startswith(kept)}
        return {name for name in names if not name.endswith(("-wal", "-shm"))}

    def _assert_sound(self, told: str) -> None:
        if (self.case / "lib" / "library.sqlite").exists():
            assert check(self.case / "lib") == [], told


def write_media(folder: Path) -> None:
    """Write images of two colours, a recording, a copy and a file that is neither."""
    for colour, name in enumerate(("red", "green")):
        for i in range(4):
            write_shade(folder / name / f"{i}.png", colour, 10 * colour + i)
    write_sound(folder / "red" / "sound.wav", 1, seconds=2)
    shutil.copy(folder / "red" / "0.png", folder / "copy.png")
    (folder / "text").write_text("hello")


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return the bytes of each file below a folder, None for a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


QUERIES = {
    "items": "SELECT i.path, r.path, hex(c.hash) FROM items i JOIN roots r ON r.id = i.root"
    " LEFT JOIN contents c ON c.id = i.content",
    "labels": 'SELECT i.path, l."column", l.value FROM labels l JOIN items i ON i.id = l.item',
    "outcomes": "SELECT i.path, coalesce(s.name, ''), o.status, o.reason, o.flags, o.seconds, o.windows FROM outcomes o"
    " JOIN items i ON i.id = o.item LEFT JOIN spaces s ON s.id = o.space",
    "tags": "SELECT hex(c.hash), t.label, t.start, t.stop FROM tags t JOIN contents c ON c.id = t.content",
}


def content(case: Path) -> dict:
    """Return what is in the library of a folder, and the bytes of the other files that a command wrote."""
    found: dict = {}
    if (case / "lib" / "library.sqlite").exists():
        with Library(case / "lib") as library:
            found = {name: sorted(library.rows(query), key=repr) for name, query in QUERIES.items()}
            query = (
                "SELECT hex(c.hash), v.space, v.start, v.embedding FROM vectors v JOIN contents c ON c.id = v.content"
            )
            rows = library.rows(query)
        found["vectors"] = sorted([(*key, np.frombuffer(row, "<f4").round(4).tolist()) for *key, row in rows], key=repr)
    for file in case.glob("out*"):
        found[file.name] = file.read_bytes()
    return found


# -- the scenarios --------------------------------------------------------------------------------------------------


def _ran(scene: Scene, *words: str) -> None:
    ran = scene.forks.run(scene.words(words))
    assert ran.code in (0, 1), ran.text


def _indexed(scene: Scene) -> None:
    _ran(scene, "index", "{media}", "-l", "{case}/lib", *MODELS, "--tags", "--label-from", "folder")


def _older(scene: Scene) -> None:
    """An index, after which files were changed, removed, renamed and added."""
    _indexed(scene)
    write_image(scene.media / "red" / "0.png", 500)
    write_sound(scene.media / "red" / "sound.wav", 500, seconds=3)
    (scene.media / "red" / "1.png").unlink()
    (scene.media / "red" / "2.png").rename(scene.media / "green" / "renamed.png")
    write_image(scene.media / "new.png", 501)


def _missing(scene: Scene) -> None:
    _indexed(scene)
    shutil.rmtree(scene.media / "red")


def _copied(scene: Scene) -> None:
    _indexed(scene)
    shutil.copytree(scene.media, f"{scene.media}2")


def _format(number: int) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        (scene.case / "lib").mkdir()
        packed = (LIBRARIES / f"format{number}.sqlite.gz").read_bytes()
        (scene.case / "lib" / "library.sqlite").write_bytes(gzip.decompress(packed))

    return prepare


def _csv_labels(scene: Scene) -> None:
    rows = [f"{path.relative_to(scene.media)},{path.stem}" for path in sorted(scene.media.rglob("*.png"))]
    (scene.media / "labels.csv").write_text("\n".join(["path,label", *rows, ""]))


def _existing_output(scene: Scene) -> None:
    (scene.case / "out.npz").write_bytes(b"old")


LIBRARY = ("-l", "{case}/lib")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("index", ("index", "{media}", *LIBRARY, *MODELS), codes=frozenset({0, 1})),
        Scenario(
            "index --tags --label-from folder",
            ("index", "{media}", *LIBRARY, *MODELS, "--tags", "--label-from", "folder"),
            codes=frozenset({0, 1}),
        ),
        Scenario(
            "index --label-from CSV",
            ("index", "{media}", *LIBRARY, *MODELS, "--label-from", "{media}/labels.csv"),
            _csv_labels,
            frozenset({0, 1}),
        ),
        Scenario("index what changed", ("index", "{media}", *LIBRARY, *MODELS, "--tags"), _older, frozenset({0, 1})),
        Scenario("forget a folder", ("forget", "{media}/red", *LIBRARY, "--yes"), _indexed),
        Scenario("forget --missing", ("forget", "--missing", "--yes", *LIBRARY), _missing),
        Scenario("forget --space", ("forget", "--space", "colours.tiny", "--yes", *LIBRARY), _indexed),
        Scenario("relocate", ("relocate", "{media}", "{media}2", *LIBRARY), _copied),
        Scenario("migrate format 1", ("relocate", "/nowhere/media", "{media}", *LIBRARY), _format(1)),
        Scenario("migrate format 2", ("relocate", "/nowhere/media", "{media}", *LIBRARY), _format(2)),
        Scenario("embed", ("embed", "{media}/green", "-m", "colours.tiny", "-o", "{case}/out.npz"), _existing_output),
        Scenario(
            "tag --csv",
            ("tag", "{media}/red/sound.wav", "-m", "loudness.tiny", "--csv", "-o", "{case}/out.csv"),
        ),
        Scenario(
            "probe fit",
            (*("probe", "fit", *LIBRARY, "-m", "colours.tiny", "--folds", "2"), "-o", "{case}/out.probe"),
            _indexed,
            imports=("sklearn.linear_model", "scipy.optimize", "scipy.stats"),
        ),
    )
}
