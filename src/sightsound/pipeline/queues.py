"""Queues of files that wait for models: each model is loaded once, and runs over all files that need it.

Files are looked at one by one, only as far as a model needs more of them. So files of one model are embedded while
those of others wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

File = TypeVar("File")
Key = TypeVar("Key", bound=Hashable)


class ModelQueues(Generic[File, Key]):
    """Distributes files to the models that they need.

    Parameters
    ----------
    files : iterable of File
        All files in order, taken as they are needed.
    models_for : callable
        Returns the models that a file needs, none where it is settled. It is called once for each file.
    """

    def __init__(self, files: Iterable[File], models_for: Callable[[File], Sequence[Key]]) -> None:
        self._files = iter(files)
        self._models_for = models_for
        self._waiting: dict[Key, deque[File]] = {}

    def next_model(self) -> Key | None:
        """Return a model that a file waits for, or None after the last file."""
        waiting = next((model for model, files in self._waiting.items() if files), None)
        return self._distribute() if waiting is None else waiting

    def files_for(self, model: Key) -> Iterator[File]:
        """Yield the files that wait for a model, then those of the remaining files that need it.

        Parameters
        ----------
        model : Key
            The model. Files that need others wait for these.

        Yields
        ------
        File
        """
        waiting = self._waiting.setdefault(model, deque())
        while waiting or self._distribute(model) is not None:
            yield waiting.popleft()

    def put_back(self, model: Key, files: Iterable[File]) -> None:
        """Let files wait for a model again.

        Parameters
        ----------
        model : Key
            The model.
        files : iterable of File
            Files that it must still go through.
        """
        self._waiting.setdefault(model, deque()).extend(files)

    def _distribute(self, wanted: Key | None = None) -> Key | None:
        """Take files until one needs the wanted model, or any; return that model, or None after the last file."""
        for file in self._files:
            models = self._models_for(file)
            for model in models:
                self._waiting.setdefault(model, deque()).append(file)
            if models and wanted in (None, *models):
                return models[0] if wanted is None else wanted
        return None
