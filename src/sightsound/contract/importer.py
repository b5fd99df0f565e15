"""Importers: what makes a model of the files of a network, such as an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder
from sightsound.contract.model_settings import ModelSettings


class Importer(Protocol):
    """Reads networks in one format of files. `sightsound import-model` copies the files, and keeps the card.

    Optional attributes:

    * `runs_code` (bool): files of this format are programs, so that the user has to trust them (`--trust`).
    * `gather(source: str, folder: Path) -> list[Path]`: for a network that is a folder or an archive, or has an
      address, write its files to `folder` and return them. `takes(source: str) -> bool` says whether this format has
      it; a file that it takes is given to `gather`, too.
    * `pinned(source: str) -> bool`: whether the SHA-256 of what is at an address is known, and `gather` compares it.
      Then the user need not trust it.
    * `knows(file: Path) -> bool`: whether a file with one of the suffixes is of this format, where several formats
      have that suffix.

    Attributes
    ----------
    name : str
        The name of the format, as in `--format`.
    suffixes : tuple of str
        The ends of the names of its files, such as `.onnx`, in lower case; the first file must have one of them.
    """

    name: str
    suffixes: tuple[str, ...]

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of the network in some files; `ModelSettings.card` makes it.

        Parameters
        ----------
        files : sequence of pathlib.Path
            Files whose names have different suffixes.
        settings : ModelSettings
            What the user says about the network. What the files say need not be in it.

        Returns
        -------
        Card
            Everything that `load` needs is in its constants, with the names of inputs and outputs. The host adds the
            files to its weights.

        Raises
        ------
        SightsoundError
            If the files are damaged or not of this format, or if they do not fit the settings; one line.
        """

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of an imported network, as `Load` does.

        Parameters
        ----------
        card : Card
            The card that `read` returned, with the weights.
        device : str
            As for `Load`.
        weights : mapping of str to pathlib.Path
            The verified files by their names in the folder of models; see `file_of`.

        Returns
        -------
        Embedder
        """


RegisterImporter = Callable[[Importer], None]
"""What the hook `register_importers` receives."""


def file_of(weights: Mapping[str, Path], *suffixes: str) -> Path:
    """Return the one of several files whose name ends with one of some suffixes.

    Parameters
    ----------
    weights : mapping of str to pathlib.Path
        What `Importer.load` gets.
    *suffixes : str
        Such as `.onnx`, in lower case.

    Raises
    ------
    LookupError
        If there is no such file.

    Returns
    -------
    pathlib.Path
    """
    for name, path in weights.items():
        if name.lower().endswith(suffixes):
            return path
    raise LookupError(f"expected a file {' or '.join(suffixes)}, got {', '.join(weights)}")
