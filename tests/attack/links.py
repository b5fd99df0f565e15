"""Links in a library that somebody else made, and beside an output: nothing outside is written."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path
from random import Random

from attack.damage import CONTROL
from attack.forks import Forks
from attack.scenarios import FITTING, LIBRARIES, MODELS
from attack.scenes import tree, write_media

DIGEST = hashlib.sha256(b"out.probe").hexdigest()[:16]
NAMES = (
    *(f"lib/library.{end}" for end in ("sqlite", "sqlite-wal", "sqlite-shm", "sqlite-journal", "format1.sqlite")),
    *("lib/library.format2.sqlite", "lib/library.format1-2.sqlite", "lib/writer.json", "lib/writer.lock", "lib/x"),
    *("out.probe", f".sightsound-{DIGEST}-0", f".sightsound-{DIGEST}-1"),
)
COMMANDS = (
    ("index", "{media}", "-l", "{case}/lib", *MODELS),
    ("forget", "--missing", "--yes", "-l", "{case}/lib"),
    ("relocate", "/nowhere", "{media}", "-l", "{case}/lib"),
    ("probe", "fit", "-l", "{case}/lib", "-m", "colours.tiny", "--folds", "2", "-o", "{case}/out.probe"),
    ("search", "--id", "1", "-l", "{case}/lib"),
    ("check", "-l", "{case}/lib"),
)


class Links:
    """A library of the present format and older ones, and the files of a victim."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.forks, self.folder = forks, folder
        self.media, self.before, self.case, self.victim = (
            folder / name for name in ("media", "before", "case", "victim")
        )
        write_media(self.media)
        made = forks.run(["index", self.media, "-l", self.before, *MODELS, "--label-from", "folder"])
        assert made.code in (0, 1), made.text
        self.libraries = [(self.before / "library.sqlite").read_bytes()]
        for number in (1, 2):
            self.libraries.append(gzip.decompress((LIBRARIES / f"format{number}.sqlite.gz").read_bytes()))

    def attack(self, seed: int) -> None:
        """Put links under one to three names, run a command, and assert that the files of the victim are unchanged."""
        random = Random(f"links {seed}")
        for place in (self.case, self.victim):
            shutil.rmtree(place, ignore_errors=True)
        (self.victim / "folder").mkdir(parents=True)
        (self.victim / "file").write_bytes(random.choice([b"mine", self.libraries[0]]))
        (self.victim / "folder" / "out.probe").write_bytes(b"mine too")
        (self.case / "lib").mkdir(parents=True)
        (self.case / "lib" / "library.sqlite").write_bytes(random.choice(self.libraries))
        before, linked = tree(self.victim), random.sample(NAMES, random.randint(1, 3))
        for name in linked:
            link = self.case / name
            link.unlink(missing_ok=True)
            target = self.victim / random.choice(["file", "folder", "nothing", "folder/nothing"])
            link.symlink_to(target)
        words = [word.format(media=self.media, case=self.case) for word in random.choice(COMMANDS)]
        ran = self.forks.run(words, imports=FITTING, seconds=20)
        told = f"links {seed}: {linked}: {words}\nexit code {ran.code}\n{ran.text}"
        assert ran.code in (0, 1, 2) and "Traceback" not in ran.text and not CONTROL.search(ran.text), told
        assert tree(self.victim) == before, told
