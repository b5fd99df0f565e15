"""Exporters: what writes a network to a file that other programs read, and that an importer reads again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sightsound.contract.embedder import Embedder
from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import LinearHead
from sightsound.contract.model_settings import ModelSettings


@dataclass(frozen=True, kw_only=True)
class ExportedNetwork:
    """A network that is to be written.

    Parameters
    ----------
    embedder : Embedder
        The network. `module()` is its network of torch; without this method it cannot be written.
    settings : ModelSettings or None
        Its input, and the classes of its scores; the names of its output are left to the exporter. None if the
        preprocessing is not one that settings can say.
    head : LinearHead or None
        What gives the scores, in place of the network's own classes. The classes of the settings are those of the head.
    fingerprint : str
        Of the space of its rows.
    """

    embedder: Embedder
    settings: ModelSettings | None
    head: LinearHead | None = None
    fingerprint: str = ""

    def stated(self, suffix: str) -> ModelSettings:
        """Return the settings with the names of its output, `embedding` and `scores`, as exporters state them.

        Parameters
        ----------
        suffix : str
            That of the file, for the error.

        Raises
        ------
        SightsoundError
            If its preprocessing cannot be said in settings.

        Returns
        -------
        ModelSettings
        """
        if self.settings is None:
            text = f"{self.name}: expected an image that is resized and cropped, or samples of sound, as input"
            raise SightsoundError(f"{text}; its preprocessing is its own, which {suffix} files do not have")
        return replace(self.settings, embedding="embedding", output="scores" if self.settings.labels else "")

    @property
    def name(self) -> str:
        """The name of the network."""
        return self.embedder.card.name


class Exporter(Protocol):
    """Writes networks in one format of files. `sightsound export-model` calls it, and imports the file again.

    The importer of the same name must read what it writes, without further settings.

    Attributes
    ----------
    name : str
        The name of the format, as in `--to`.
    suffix : str
        The end of the name of its file, such as `.onnx`.
    """

    name: str
    suffix: str

    def write(self, network: ExportedNetwork, file: Path) -> list[Path]:
        """Write a network.

        Parameters
        ----------
        network : ExportedNetwork
            The network.
        file : pathlib.Path
            The file, whose name ends with `suffix`. If there are several, the others have other suffixes.

        Raises
        ------
        SightsoundError
            If the network cannot be written in this format; one line.

        Returns
        -------
        list of pathlib.Path
            The files that were written, `file` first.
        """


RegisterExporter = Callable[[Exporter], None]
"""What the hook `register_exporters` receives."""
