"""The format `savedmodel`. Importing this module imports no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound.plugin import Card, Embedder, ModelSettings, SightsoundError, file_of
from sightsound_tfhub import archive
from sightsound_tfhub.address import address_of, fetch

PACKED = ".savedmodel"
"""The suffix of a SavedModel in one file, as it is kept in the folder of models."""


class SavedModel:
    """Imports SavedModels, see `sightsound.plugin.Importer`.

    A SavedModel is a program: it can read and write files. So it needs `--trust`, unless its hash is known.
    """

    name = "savedmodel"
    suffixes: tuple[str, ...] = (PACKED, ".tar.gz", ".tgz")
    runs_code = True

    def takes(self, source: str) -> bool:
        """Return whether a source is a folder or file of this format, or the address of an archive."""
        if Path(source).is_dir():
            return archive.is_model(Path(source))
        return source.lower().endswith(self.suffixes) or address_of(source) is not None

    def pinned(self, source: str) -> bool:
        """Return whether a source is an address with a known SHA-256, which `gather` compares."""
        address = None if Path(source).exists() else address_of(source)
        return address is not None and bool(address.sha256)

    def gather(self, source: str, folder: Path) -> list[Path]:
        """Write a SavedModel as one file to `folder`.

        The same network gives the same file, whether it comes as a folder, as an archive or from an address.

        Parameters
        ----------
        source : str
            The folder, the archive or the address.
        folder : pathlib.Path
            An empty folder.

        Returns
        -------
        list of pathlib.Path
            The file.

        Raises
        ------
        SightsoundError
            If there is no SavedModel at the source, or if an archive is damaged or unsafe.
        """
        path = Path(source)
        name = path.resolve().name
        if not path.exists():
            address = address_of(source)
            if address is None:
                raise SightsoundError(
                    f"{source}: no such folder or file; expected a SavedModel, or a handle as google/yamnet/1"
                )
            path, name = fetch(address), address.file_name
        if not path.is_dir():
            archive.unpack(path, folder / "unpacked")
            path = archive.find_model(folder / "unpacked", source)
        packed = folder / f"{archive.stem(name, self.suffixes)}{PACKED}"
        archive.pack(path, packed)
        return [packed]

    def read(self, files: Sequence[Path], settings: ModelSettings) -> Card:
        """Return the card of a SavedModel in one file. It is loaded and called once with zeros."""
        from sightsound_tfhub.reading import read_card

        return read_card(archive.unpacked(files[0]), files[0].name, settings)

    def load(self, card: Card, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the embedder of a SavedModel; TensorFlow is imported when it is prepared."""
        from sightsound_tfhub.embedder import SavedModelEmbedder

        return SavedModelEmbedder(card, device, file_of(weights, PACKED))
