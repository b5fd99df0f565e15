"""Commands with control characters in names, labels, tags and options."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from attack.damage import CONTROL
from attack.forks import Forks
from attack.scenarios import FITTING, MODELS
from made import write_shade, write_sound

ODD = ("\x1b]0;title\x07", "\x1b[31m", "\nforged line", "\r", "\x9b31m", "\x7f", "\u202e", "\udcff", "\t")
LIBRARY = ("-l", "lib")
FIT = ("probe", "fit", *LIBRARY, "-m", "colours.tiny", "--folds", "2", "--label-column", "label", "-o", "a.probe")
COMMANDS = (
    ("index", "media", *LIBRARY, *MODELS, "--label-from", "labels.csv"),
    ("index", "media", *LIBRARY, *MODELS, "--label-from", "folder"),
    ("search", "--id", "1", *LIBRARY),
    ("search", "media/red/0.png", *LIBRARY, "--label", "label=red"),
    ("search", "--tag", "quiet", *LIBRARY),
    ("search", "--vector", "vector.npy", "-m", "colours.tiny", *LIBRARY),
    ("stats", *LIBRARY),
    ("check", *LIBRARY),
    ("forget", "media/red", *LIBRARY, "--yes"),
    ("forget", "--missing", "--yes", *LIBRARY),
    ("forget", "--space", "colours.tiny", "--yes", *LIBRARY),
    ("relocate", "media", "media2", *LIBRARY),
    ("embed", "media", "-m", "colours.tiny", "-o", "out.npz"),
    ("tag", "media", "-m", "loudness.tiny"),
    ("tag", "media/red/sound.wav", "-m", "loudness.tiny", "--include", "quiet", "--csv", "-o", "out.csv"),
    ("tag", "media", "-m", "loudness.tiny", "--raven"),
    FIT,
    ("probe", "predict", "a.probe", "media/red/0.png"),
    ("probe", "show", "a.probe"),
    ("probe", "eval", "a.probe", *LIBRARY, "--label-column", "label"),
    ("probe", "export", "a.probe", "-o", "out.onnx"),
    ("stack", *LIBRARY, "-m", "colours.tiny"),
    ("ontology", "find", "dog"),
    ("weights", "get", "colours.tiny"),
    ("weights", "list"),
    ("models", "show", "colours.tiny"),
    ("plugins",),
    ("check-model", "colours.tiny"),
    ("--block", "tiny", "models"),
    ("--weights", "net.bin=x", "models"),
)


class OddTexts:
    """Media and a library in whose names and labels are control characters."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.forks, self.before, self.case = forks, folder / "before", folder / "case"
        self.case.mkdir(parents=True)
        media, rows = self.case / "media", ["path,label"]
        for i, odd in enumerate((*ODD, "")):
            for colour, name in enumerate(("red", "green")):
                if "\udcff" not in odd:  # CSV is UTF-8
                    rows.append(f'"{name}{odd}/{i}{odd}.png","{name}{ODD[i % 2]}"')
                write_shade(media / f"{name}{odd}" / f"{i}{odd}.png", colour, 10 * colour + i)
        write_sound(media / "red" / "sound\x1b[31m.wav", 1, seconds=2)
        (media / "broken\x1b[31m.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
        (self.case / "labels.csv").write_text("\n".join([*rows, ""]), newline="")
        self._run(COMMANDS[0], "without an attack", (0, 1))
        self._run(FIT, "without an attack", (0,))
        shutil.copytree(self.case, self.before)

    def attack(self, seed: int) -> None:
        """Run a command with odd texts at random places of its words."""
        random = Random(f"odd texts {seed}")
        shutil.rmtree(self.case)
        shutil.copytree(self.before, self.case)
        words = list(random.choice(COMMANDS))
        for _ in range(random.randint(0, 3)):
            number = random.randrange(len(words))
            at = random.randint(0, len(words[number]))
            words[number] = words[number][:at] + random.choice(ODD) + words[number][at:]
        self._run(words, f"odd texts {seed}", (0, 1, 2))

    def _run(self, words, name: str, codes: tuple[int, ...]) -> None:
        ran = self.forks.run(words, imports=FITTING, work_in=self.case, seconds=30)
        told = f"{name}: {words!a}\nexit code {ran.code}\n{ran.text!a}"
        assert ran.code in codes and "Traceback" not in ran.text, told
        assert not CONTROL.search(ran.text), told
        assert not any(line.startswith("forged line") for line in ran.text.splitlines()), told
