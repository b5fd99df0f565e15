"""Embeddings of files as a step of a scikit-learn pipeline.

This module imports scikit-learn, so nothing else imports it at once. `sightsound.EmbeddingTransformer` imports it when
the name is first used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.pooling import Pool
from sightsound.host.host import Host
from sightsound.linear.validation import BadInput
from sightsound.pipeline.embeddings import embed


class EmbeddingTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Embed files, as the first step of a pipeline.

    It learns nothing from `fit`.

    Parameters
    ----------
    model : str, optional
        The name of a network. By default the one that `embed` takes for the first file.
    pool : {"mean", "max", "mean+max", "mean+std"}
        How the windows of a sound become one row.
    device : str
        Where the network runs, see `Host.load`.
    cache : bool
        Whether to keep the rows of a file until it changes. Each file is embedded once then, however many folds it is
        in, and copies made by `clone` share the rows. The cache holds at most 256 MB in a process; the oldest rows are
        removed.
    host : Host, optional
        Where the networks come from. `Host()` by default.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> make_pipeline(EmbeddingTransformer("tf_efficientnet_lite0.in1k"), LogisticRegression()).fit(paths, y)
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        pool: Pool = "mean",
        device: str = "auto",
        cache: bool = True,
        host: Host | None = None,
    ) -> None:
        self.model = model
        self.pool = pool
        self.device = device
        self.cache = cache
        self.host = host

    def fit(self, X: Any, y: Any = None) -> EmbeddingTransformer:
        """Check the paths, without reading the files.

        Parameters
        ----------
        X : array-like of paths, shape (n,) or (n, 1)
            The files.
        y : ignored
            For scikit-learn's sake.

        Returns
        -------
        EmbeddingTransformer
            The transformer itself.

        Raises
        ------
        BadInput
            A ValueError, if `X` has anything but paths.
        """
        _check_paths(X)
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Floats:
        """Return the embeddings of files.

        Parameters
        ----------
        X : array-like of paths, shape (n,) or (n, 1)
            The files.

        Returns
        -------
        ndarray of float32, shape (n, features)

        Raises
        ------
        BadInput
            A ValueError, if `X` has anything but paths.
        SightsoundError
            If a file cannot be embedded.
        """
        paths, host = _check_paths(X), self.host or Host()
        source = self._source(host) if self.cache else None
        keys = [(*_version(path), source, self.pool, self.device) for path in paths]
        rows = _cached(keys) if self.cache else {}
        missing = {key: path for key, path in zip(keys, paths) if key not in rows}
        if missing:
            embeddings = embed(list(missing.values()), self.model, host=host, device=self.device)
            new = dict(zip(missing, embeddings.matrix(self.pool)))
            if self.cache:
                _keep(new)
            rows |= new
        return np.stack([rows[key] for key in keys])

    def __sklearn_clone__(self) -> EmbeddingTransformer:
        # scikit-learn's own clone would copy the host, with its loaded plugins
        return EmbeddingTransformer(**self.get_params(deep=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _source(self, host: Host) -> Any:
        """Return what the rows of a file depend on besides the file, the pooling and the device."""
        # The host itself is kept, since the id of one that is gone can be used again.
        return self.host, None if self.model is None else host.space(self.model).fingerprint


def _version(path: str) -> tuple[str, int, int]:
    """Return what changes when a file changes."""
    try:
        stat = os.stat(path)
    except OSError as error:
        raise SightsoundError(f"{path}: cannot be read ({error.strerror}); name a file") from error
    return os.path.abspath(path), stat.st_size, stat.st_mtime_ns


_CACHE: dict[tuple[Any, ...], Floats] = {}
"""The rows of files, oldest first."""
_CACHE_BYTES = 2**28


_LOCK = threading.Lock()


def _cached(keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], Floats]:
    """Return the rows that the cache has."""
    with _LOCK:
        return {key: _CACHE[key] for key in keys if key in _CACHE}


def _keep(rows: dict[tuple[Any, ...], Floats]) -> None:
    """Add rows to the cache, and remove the oldest until it is small enough."""
    with _LOCK:
        _CACHE.update(rows)
        while len(_CACHE) > 1 and len(_CACHE) * next(iter(_CACHE.values())).nbytes > _CACHE_BYTES:
            del _CACHE[next(iter(_CACHE))]


def _check_paths(X: Any) -> list[str]:
    """Return paths as a list of str, or raise `BadInput` for anything else."""
    array = np.asarray(X, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array) or not all(isinstance(path, str | os.PathLike) for path in array):
        raise BadInput(f"X: expected paths of files (n,), got {type(X).__name__} of shape {array.shape}")
    return [os.fspath(path) for path in array]
