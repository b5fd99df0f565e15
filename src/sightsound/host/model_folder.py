"""The user's folder of imported models: the files of each network, and its card."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightsound._atomic import atomic_path
from sightsound.contract.card import Card, WeightFile
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.weights.hashes import sha256

FORMAT = 1
_DIGITS = 8  # of the hash of a file in the name of its copy
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportedModel:
    """A network that the user imported.

    Parameters
    ----------
    card : Card
        Its card. The names of its weight files are those in the folder.
    importer : str
        The format that it was imported from.
    distribution : str
        The package that has this format.
    """

    card: Card
    importer: str
    distribution: str


class ModelFolder:
    """A folder of imported models. A model is there as soon as its record, `NAME.json`, is.

    Parameters
    ----------
    path : pathlib.Path or None
        By default SIGHTSOUND_MODELS, or `models` in the user's data folder for sightsound.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            import platformdirs

            given = os.environ.get("SIGHTSOUND_MODELS")
            path = Path(given).expanduser() if given else platformdirs.user_data_path("sightsound") / "models"
        self.path = path

    def models(self) -> list[ImportedModel]:
        """Return all models by name. A record that cannot be read is left out with a warning."""
        found = []
        for file in sorted(self.path.glob("*.json")) if self.path.is_dir() else ():
            if _is_copy(file):
                continue
            try:
                found.append(_model(json.loads(file.read_text("utf-8"))))
            except (OSError, ValueError, LookupError, TypeError, PluginError) as error:
                log.warning("%s: not a model that was imported (%s); remove the file", file, error)
        return found

    def copy(self, name: str, files: Sequence[Path]) -> tuple[WeightFile, ...]:
        """Copy the files of a network into the folder, and return what they are there.

        Parameters
        ----------
        name : str
            The name of the model.
        files : sequence of pathlib.Path
            Files whose names have different suffixes. They are read once, so that what is copied has the hash.

        Raises
        ------
        SightsoundError
            If a file cannot be copied.
        """
        kept = []
        for file in files:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                digest = sha256(file)
                target = self.path / f"{name}-{digest[:_DIGITS]}{file.suffix.lower()}"
                with atomic_path(target) as part:
                    shutil.copyfile(file, part)
                    copied = sha256(part)
            except OSError as error:
                raise SightsoundError(f"{file}: cannot be copied to {self.path} ({error.strerror or error})") from error
            if copied != digest:
                raise SightsoundError(f"{file}: has changed while it was copied; import it again")
            kept.append(WeightFile(name=target.name, sha256=digest, size=target.stat().st_size))
        return tuple(kept)

    def add(self, model: ImportedModel) -> None:
        """Write the record of a model whose files are in the folder, in place of another of its name."""
        same = [each for each in self.models() if each.card.name == model.card.name]
        record = {"format": FORMAT, "importer": model.importer, "distribution": model.distribution}
        with atomic_path(self.path / f"{model.card.name}.json") as part:
            part.write_text(json.dumps({**record, "card": json.loads(model.card.to_json())}, indent=1), "utf-8")
        self.discard(file.name for each in same for file in each.card.weights)

    def remove(self, name: str) -> None:
        """Remove a model and its files.

        Raises
        ------
        SightsoundError
            If no model of this name was imported.
        """
        found = next((each for each in self.models() if each.card.name == name), None)
        if found is None:
            known = ", ".join(each.card.name for each in self.models()) or "none"
            raise SightsoundError(f"{name}: expected a model that was imported ({known})")
        (self.path / f"{name}.json").unlink()
        self.discard(file.name for file in found.card.weights)

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that no model has."""
        used = {file.name for each in self.models() for file in each.card.weights}
        for name in names:
            if name not in used:
                (self.path / name).unlink(missing_ok=True)


def _is_copy(file: Path) -> bool:
    """Return whether a file is not a record but one that `copy` made: its hash is in its name."""
    digits = file.stem.rpartition("-")[2]
    try:
        return len(digits) == _DIGITS and sha256(file).startswith(digits)
    except OSError:
        return False


def _model(record: dict[str, object]) -> ImportedModel:
    if record["format"] != FORMAT:
        raise ValueError(f"format: expected {FORMAT}, got {record['format']!r}")
    card = Card.from_json(json.dumps(record["card"]))
    return ImportedModel(card, str(record["importer"]), str(record["distribution"]))
