"""A session: models that stay loaded and a library that stays open, used by several threads at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sightsound.classify.classify import SoundStream, classify_image, classify_sound, classify_stream
from sightsound.classify.tag import tag
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Classified, Hit
from sightsound.host.host import Host
from sightsound.learn.predict import Probe, predict
from sightsound.library.index import index
from sightsound.library.index_report import IndexReport
from sightsound.library.library import Library
from sightsound.library.query import Query
from sightsound.library.search import search, search_tags
from sightsound.library.shared import SharedLibrary
from sightsound.pipeline.embeddings import Embeddings, embed


class Session:
    """Models that stay loaded, and a library that stays open beside them.

    Its methods are the functions of the same names, without the arguments `library`, `host` and `device`. Several
    threads may call them at once. Each model is loaded once, by the first thread that needs it; `embed` of a network
    runs in as many threads at once as the network has workers.

    Parameters
    ----------
    library : path or None
        The folder of the library. None for a session without one.
    keep : int
        How many models stay loaded, those that were used last.
    device : str
        Where the models run, see `Host.load`.
    create : bool
        Make an empty library if the folder does not exist or is empty.
    **settings
        Arguments of `Host`: `block`, `weights`, `prefer`, `runtime`, `installed`.

    Raises
    ------
    LibraryError
        If there is no library at the path, or it cannot be read.
    SightsoundError
        If `keep` is no whole number from 1.

    Examples
    --------
    >>> with sightsound.Session("zoo") as session:
    ...     for path in ("cat.jpg", "dog.jpg"): print(session.search(path, k=1))
    """

    def __init__(
        self,
        library: PathLike | None = None,
        *,
        keep: int = 4,
        device: str = "auto",
        create: bool = False,
        **settings: Any,
    ) -> None:
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise SightsoundError(f"keep: expected a whole number from 1, got {keep!r}")
        self._host = Host(keep=keep, **settings)
        self._library = None if library is None else SharedLibrary(library, create=create)
        self._device, self._keep, self._closed = device, keep, False

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        library = None if self._library is None else str(self._library.path)
        return f"Session({library!r}, keep={self._keep}, device={self._device!r}{', closed' * self._closed})"

    def close(self) -> None:
        """Close the library, and keep no models any longer; every later call raises `SightsoundError`."""
        self._closed = True
        if self._library is not None:
            self._library.close()
        self._host.release()

    @property
    def host(self) -> Host:
        """The host, whose models stay loaded, until the session is closed."""
        if self._closed:
            raise SightsoundError("session: it was closed; open a new one")
        return self._host

    @property
    def library(self) -> Library:
        """The library, which several threads may read, if the session has one."""
        if self._library is None:
            raise SightsoundError("session: it has no library; open one with it, as in Session('zoo')")
        return self._library

    def index(self, paths: PathLike | Sequence[PathLike], **options: Any) -> IndexReport:
        """Embed images and sounds into the library.

        Parameters
        ----------
        paths : path or sequence of paths
            Files and folders.
        **options
            As for `sightsound.index`.

        Returns
        -------
        IndexReport
        """
        return index(paths, **self._with_library(options))

    def search(self, query: Query, **options: Any) -> list[Hit]:
        """Return the items of the library that look or sound most like a query, or that words describe.

        Parameters
        ----------
        query : path, int, Text, Vectors or ndarray
            As for `sightsound.search`.
        **options
            As for `sightsound.search`.

        Returns
        -------
        list of Hit
            Best first.
        """
        return search(query, **self._with_library(options))

    def search_tags(self, tags: str | Sequence[str], **options: Any) -> list[Hit]:
        """Return the segments of sounds, and the images, that were tagged with any of some classes.

        Parameters
        ----------
        tags : str or sequence of str
            As for `sightsound.search_tags`.
        **options
            As for `sightsound.search_tags`.

        Returns
        -------
        list of Hit
            The highest mean score first.
        """
        return search_tags(tags, self.library, host=self.host, **options)

    def tag(self, paths: PathLike | Sequence[PathLike], **options: Any) -> Iterator[Classified]:
        """Return what is in each image and sound of some files and folders.

        Parameters
        ----------
        paths : path or sequence of paths
            Files and folders.
        **options
            As for `sightsound.tag`.

        Returns
        -------
        iterator of Classified
            One for each file. Files are classified while it is iterated over.
        """
        return tag(paths, **self._with_host(options))

    def classify_image(self, image: Any, **options: Any) -> Classified:
        """Return the most likely classes of an image.

        Parameters
        ----------
        image : path or ndarray of uint8, shape (h, w, 3)
            A file, or RGB pixels.
        **options
            As for `sightsound.classify_image`.

        Returns
        -------
        Classified
        """
        return classify_image(image, **self._with_host(options))

    def classify_sound(self, sound: Any, sample_rate: int | None = None, **options: Any) -> Classified:
        """Return which classes are heard in a sound, and from when to when.

        Parameters
        ----------
        sound : path or ndarray of shape (n,) or (n, channels)
            A file, or samples.
        sample_rate : int or None
            The rate of the samples in Hz. None for a file.
        **options
            As for `sightsound.classify_sound`.

        Returns
        -------
        Classified
        """
        return classify_sound(sound, sample_rate, **self._with_host(options))

    def classify_stream(self, blocks: Any, sample_rate: int, **options: Any) -> SoundStream:
        """Return the segments of a sound that comes in blocks, each as soon as it is complete.

        Parameters
        ----------
        blocks : iterable of ndarray, each of shape (n,) or (n, channels)
            Samples.
        sample_rate : int
            The rate of the samples in Hz.
        **options
            As for `sightsound.classify_stream`.

        Returns
        -------
        SoundStream
            An iterator over segments.
        """
        return classify_stream(blocks, sample_rate, **self._with_host(options))

    def embed(self, paths: PathLike | Sequence[PathLike], model: str | None = None, **options: Any) -> Embeddings:
        """Return the embeddings of images or sounds, to iterate over or to ask for a matrix.

        Parameters
        ----------
        paths : path or sequence of paths
            Files and folders.
        model : str or None
            The name of a model. None stands for the default model of the first image or sound.
        **options
            As for `sightsound.embed`.

        Returns
        -------
        Embeddings
        """
        return embed(paths, model, **self._with_host(options))

    def predict(self, probe: Probe, paths: PathLike | Sequence[PathLike], **options: Any) -> Iterator[Classified]:
        """Classify files with a probe or a stack.

        Parameters
        ----------
        probe : LinearModel or StackModel
            A classifier that was fitted to data sets of a library.
        paths : path or sequence of paths
            Files and folders.
        **options
            As for `sightsound.predict`.

        Returns
        -------
        iterator of Classified
            One for each file, in their order.
        """
        return predict(probe, paths, **self._with_host(options))

    def _with_host(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"host": self.host, "device": self._device, **options}

    def _with_library(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"library": self.library, **self._with_host(options)}
