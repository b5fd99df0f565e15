"""A command that writes, on disk: the state before it, faults, and what must hold after them."""

from __future__ import annotations

import errno
import re
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from attack.forks import COUNT, FAIL, FULL, KILL, TEAR, Fault, Forks, Ran
from library_files import all_rows
from made import write_shade, write_sound
from sightsound import Library, check
from sightsound.library.store.index_files import find_index_files
from sightsound.library.store.segments import find_segment_files

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

    `prepare(scene)` makes the state before. `words` is the command line, in which {media} and {case} are folders; the
    outputs are files and folders in {case} whose names begin with `out`. `codes` are its exit codes without a fault,
    `imports` the modules that it needs and that take long to import.
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
    environment: dict[str, str] = field(default_factory=dict)
    expected: dict = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0
    names: set[str] = field(default_factory=set)
    killed: int = 0

    def __post_init__(self) -> None:
        self.media, self.before, self.case = (self.folder / name for name in ("media", "before", "case"))
        write_media(self.media)
        self.case.mkdir(parents=True)
        if self.scenario.prepare:
            self.scenario.prepare(self)
        shutil.copytree(self.case, self.before)
        self.inputs = tree(self.media)
        self.run()  # imports
        self.reset()
        ran = self.run(self.fault(COUNT))
        assert ran.code in self.scenario.codes, ran.text
        self.calls, self.seconds = ran.calls, ran.seconds
        self.expected, self.names = content(self.case), self._leftovers()
        assert self.calls > 0, "a scenario without a write shows nothing"
        assert self.expected, "a scenario without a result shows nothing"

    def words(self, words: tuple[str, ...]) -> list[str]:
        """Return a command line with the folders in it."""
        return [word.format(media=self.media, case=self.case) for word in words]

    def run(self, fault: Fault | None = None, **how: Any) -> Ran:
        """Run the command from the state that is there; `how` are more fields of `Task`."""
        words, imports = self.words(self.scenario.words), self.scenario.imports
        return self.forks.run(words, fault, imports=imports, environment=self.environment, **how)

    def reset(self) -> None:
        """Make the state before the command."""
        shutil.rmtree(self.case)
        shutil.copytree(self.before, self.case)

    def fault(self, mode: int, nth: int = 0, number: int = 0) -> Fault:
        """Return a fault in the folder of the command."""
        return Fault(self.case, mode, nth, number)

    def attack(self, kind: str, nth: int) -> None:
        """Run the command with a fault at its Nth call, then without, and assert what must hold after both."""
        self.reset()
        mode, number = FAULTS[kind]
        ran = self.run(self.fault(mode, nth, number))
        told = f"{self.scenario.name}, {kind} at call {nth} of {self.calls}: exit code {ran.code}\n{ran.text}"
        self.assert_ended(ran, {-9} if mode in (KILL, TEAR) else {0, 1, 2}, told)
        self.assert_made_good(told)

    def kill_again_and_again(self, random: Random) -> None:
        """Kill the command one to four times at random moments, then run it to its end."""
        self.reset()
        moments = [random.uniform(0, 1.2 * self.seconds) for _ in range(random.randint(1, 4))]
        for moment in moments:
            ran = self.run(signals=[(moment, signal.SIGKILL)])
            self.killed += ran.code == -signal.SIGKILL
            told = f"{self.scenario.name}, killed after {moments}: exit code {ran.code}\n{ran.text}"
            self.assert_ended(ran, {-signal.SIGKILL, 0, 1, 2}, told)
        self.assert_made_good(told)

    def interrupt(self, random: Random) -> None:
        """Send ^C once or twice, SIGTERM or SIGHUP at a random moment, then run the command to its end."""
        self.reset()
        moment = random.uniform(0, 1.2 * self.seconds)
        name = random.choice(["SIGINT", "SIGINT", "SIGINT twice", "SIGTERM", "SIGHUP"])
        number = getattr(signal, name.split()[0])
        signals = [(moment, number)] + [(moment + random.uniform(0, 0.1), number)] * name.endswith("twice")
        ran = self.run(signals=signals)
        told = f"{self.scenario.name}, {name} after {signals}: exit code {ran.code}\n{ran.text}"
        self.assert_ended(ran, {130} if number == signal.SIGINT else {-number}, told)
        self.assert_made_good(told)

    def run_without_streams(self, random: Random) -> None:
        """Run the command with standard output or error closed, or on a full disk."""
        self.reset()
        how, numbers = random.choice(["closed", "closed", "full"]), random.choice([(1,), (2,), (1, 2)])
        ran = self.run(**{how: numbers})
        told = f"{self.scenario.name}, {how} {numbers}: exit code {ran.code}\n{ran.text}"
        self.assert_ended(ran, {2} if how == "full" else (), told)
        if how == "closed":
            assert content(self.case) == self.expected, told
        self.assert_made_good(told)

    def assert_ended(self, ran: Ran, codes: Iterable[int], told: str) -> None:
        """Assert what must hold after a command that something went wrong for: its exit code is one of `codes`."""
        assert "Traceback" not in ran.text, told
        assert ran.code in {*codes, *self.scenario.codes}, told
        self._assert_sound(told)
        if ran.code == 0 and not self.scenario.codes - {0}:
            assert content(self.case) == self.expected, told

    def assert_made_good(self, told: str) -> None:
        """Run the command again, and assert that all is as without an attack."""
        again = self.run()
        assert "Traceback" not in again.text, f"{told}\nand then:\n{again.text}"
        assert again.code in (0, 1, 2), f"{told}\nand then {again.code}:\n{again.text}"
        self._assert_sound(told)
        assert content(self.case) == self.expected, f"{told}\nand then:\n{again.text}"
        assert tree(self.media) == self.inputs, f"the media were changed\n{told}"
        if again.code == 2 and (self.case / "lib" / "library.sqlite").exists():  # it was done before the kill
            with Library(self.case / "lib") as library, library.writing():
                pass  # the next writer, whatever it does, deletes what a killed one left
        assert self._leftovers() <= self.names, f"left behind: {self._leftovers() - self.names}\n{told}"

    def _leftovers(self) -> set[str]:
        """Return the files but for those of SQLite, the lock, and of downloads, which the next download removes."""
        names = {name for name in tree(self.case) if not name.startswith("lib/writer.") and "/.fetching/" not in name}
        names = {name for name in names if not name.endswith(("-wal", "-shm"))}
        known = self._known_files()
        return {re.sub(r"library\.[0-9a-f]{16}", "library.*", name) for name in names if name not in known}

    def _known_files(self) -> set[str]:
        """Return the files of rows that the database of the library knows. A fault can make it begin one more."""
        if not (self.case / "lib" / "library.sqlite").exists():
            return set()
        with Library(self.case / "lib") as library:
            known = {name for (name,) in library.rows("SELECT name FROM segments UNION ALL SELECT name FROM indexes")}
        files = [*find_segment_files(self.case / "lib"), *find_index_files(self.case / "lib")]
        return {f"lib/{path.name}" for name, path in files if name in known}

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
    "ranges": 'SELECT i.path, g.start, g.stop, g.low_hz, g.high_hz, g.channel, g."column", g.value FROM ranges g'
    " JOIN items i ON i.id = g.item",
    "outcomes": "SELECT i.path, coalesce(s.name, ''), o.status, o.reason, o.flags, o.seconds FROM outcomes o"
    " JOIN items i ON i.id = o.item LEFT JOIN spaces s ON s.id = o.space",
    "tags": "SELECT hex(c.hash), t.label, t.start, t.stop FROM tags t JOIN contents c ON c.id = t.content",
}


def content(case: Path) -> dict:
    """Return what is in the library of a folder, and the bytes of the other files that a command wrote."""
    found: dict = {}
    if (case / "lib" / "library.sqlite").exists():
        with Library(case / "lib") as library:
            found = {name: sorted(library.rows(query), key=repr) for name, query in QUERIES.items()}
            stored = all_rows(library)
            indexes = sorted((space.name, str(facts)) for space, facts in library.indexes().items())
        found["indexes"] = indexes
        found["vectors"] = sorted((*key, str(spans), rows.round(4).tolist()) for key, (rows, spans) in stored.items())
    for name, data in tree(case).items():
        hidden = any(
            part.startswith((".fetching", ".sightsound-")) for part in Path(name).parts
        )  # removed the next time
        if name.startswith("out") and not hidden:
            found[name] = data
    return found
