"""Paths -> embeddings, as a step of scikit-learn's pipelines."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.pooling import Pool
from sightsound.host.host import Host
from sightsound.linear.estimator import BadInput, Estimator
from sightsound.pipeline.embeddings import embed


class EmbeddingTransformer(Estimator):
    """Embeds files, as the first step of a pipeline.

    >>> make_pipeline(EmbeddingTransformer("tf_efficientnet_lite0.in1k"), LogisticRegression()).fit(paths, y)

    `model` is the name of a network, None the default one for what the first file is. `pool` makes one row of a
    sound's windows. `cache` keeps the rows of a file until it changes, so that each is embedded once however many
    folds it is in; copies made by `clone` share them. It needs nothing from `fit`.
    """

    _kind = "transformer"

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
        """Paths (n,), which it only counts. Raises `BadInput`, a ValueError, for what are no paths."""
        _paths(X)
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Floats:
        """Paths (n,) -> float32 (n, features). Raises what a file failed with, noting the file."""
        paths = _paths(X)
        keys = [self._key(path) for path in paths]
        kept = _ROWS if self.cache else {}
        missing = {key: path for key, path in zip(keys, paths) if key not in kept}
        if missing:
            host = self.host or Host()
            rows = embed(list(missing.values()), self.model, host=host, device=self.device).matrix(self.pool)
            fresh = dict(zip(missing, rows))
            if self.cache:
                _keep(fresh)
            kept = {**kept, **fresh}
        return np.stack([kept[key] for key in keys])

    def fit_transform(self, X: Any, y: Any = None) -> Floats:
        """`fit`, then `transform`."""
        return self.fit(X, y).transform(X)

    def __sklearn_clone__(self) -> EmbeddingTransformer:
        """A copy that is not fitted, with the same host."""
        return EmbeddingTransformer(**self.get_params(deep=False))

    def _key(self, path: str) -> tuple[Any, ...]:
        try:
            found = os.stat(path)
        except OSError as error:
            raise SightsoundError(f"{path}: cannot be read ({error.strerror}); name a file") from error
        where = (os.path.abspath(path), found.st_size, found.st_mtime_ns)
        return (*where, self.model, self.pool, self.device, None if self.host is None else id(self.host))


_ROWS: dict[tuple[Any, ...], Floats] = {}
_MOST = 2**28
"""Bytes of rows that are kept in a process; the oldest go first."""


def _keep(rows: dict[tuple[Any, ...], Floats]) -> None:
    _ROWS.update(rows)
    while len(_ROWS) > 1 and len(_ROWS) * next(iter(_ROWS.values())).nbytes > _MOST:
        del _ROWS[next(iter(_ROWS))]


def _paths(X: Any) -> list[str]:
    array = np.asarray(X, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array) or not all(isinstance(path, str | os.PathLike) for path in array):
        raise BadInput(f"X: expected paths of files (n,), got {type(X).__name__} of shape {array.shape}")
    return [os.fspath(path) for path in array]
