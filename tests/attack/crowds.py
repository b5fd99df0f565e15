"""Writers and readers of one library at the same time, while copies of it are made."""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from attack.forks import Forks, Task
from attack.scenarios import MODELS
from attack.scenes import content, write_media
from sightsound import check, copy_library

READERS = 8


class Crowd:
    """A library in which some media are indexed."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.forks, self.media, self.before, self.case = forks, folder / "media", folder / "before", folder / "case"
        write_media(self.media)
        self.library = ("-l", self.case / "lib")
        self.case.mkdir()
        self._alone("index", self.media / "green", *self.library, *MODELS)
        shutil.copytree(self.case, self.before)
        self._index_all()
        self.expected = self._files()

    def _alone(self, *words: str | Path) -> None:
        ran = self.forks.run(words)
        assert ran.code in (0, 1) and "Traceback" not in ran.text, ran.text

    def _index_all(self) -> None:
        self._alone("index", self.media, *self.library, *MODELS)

    def attack(self, seed: int) -> None:
        """Start two to four writers and eight readers at random moments, and make copies; then index everything."""
        random = Random(f"crowd {seed}")
        shutil.rmtree(self.case)
        shutil.copytree(self.before, self.case)
        writers = [self._writer(random) for _ in range(random.randint(2, 4))]
        readers = [self._reader(random) for _ in range(READERS)]
        tasks = random.sample([*writers, *readers], len(writers) + READERS)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.forks.run_together, tasks)
            copies = self._copies(running.done)
            ends = running.result()
        for task, ran in zip(tasks, ends):
            told = f"crowd {seed}: {task}\nexit code {ran.code}\n{ran.text}"
            assert "Traceback" not in ran.text, told
            busy = ran.code == 2 and "is writing to it" in ran.text and task in writers
            assert ran.code in (0, 1, -signal.SIGKILL) or busy, told
        for copy in copies:
            assert check(copy) == [], f"crowd {seed}: {copy}"
        self._index_all()
        assert check(self.case / "lib") == [], f"crowd {seed}"
        assert self._files() == self.expected, f"crowd {seed}"

    def _files(self) -> tuple:
        """Return the files of the library, and their vectors. Which folder is the root depends on who came first."""
        found = content(self.case)
        return sorted((os.path.join(root, path), hash_) for path, root, hash_ in found["items"]), found["vectors"]

    def _writer(self, random: Random) -> Task:
        """Return a command that writes; one in four is killed."""
        place = self.media / random.choice([".", "red", "green", "copy.png"])
        words = ("index", place, *self.library, *MODELS, *random.choice([(), ("--no-scores",)]))
        if random.random() < 0.2:
            words = ("forget", "--missing", "--yes", *self.library)
        killed = [(random.uniform(0.05, 0.5), signal.SIGKILL)] * (random.random() < 0.25)
        return Task(words, signals=killed)

    def _reader(self, random: Random) -> Task:
        commands = (("search", "--id", "1"), ("search", self.media / "green" / "1.png"), ("stats",), ("check",))
        return Task((*random.choice(commands), *self.library))

    def _copies(self, is_over) -> list[Path]:
        """Copy the library until the commands have ended; return the copies."""
        made: list[Path] = []
        while not is_over() and len(made) < 20:
            copy = self.case / f"copy{len(made)}"
            copy_library(self.case / "lib", copy)
            made.append(copy)
        return made
