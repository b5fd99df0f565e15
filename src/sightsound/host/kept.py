"""Models that stay loaded: each is loaded once, also if several threads ask for it at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The things that were used last, by key.

    Parameters
    ----------
    most : int
        How many are kept. 0 keeps none.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._things: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._cleared = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the thing of this key. It is made by the first thread that asks, while the others wait.

        Parameters
        ----------
        key : hashable
            What identifies it.
        make : callable
            Returns it. If it raises, nothing is kept, and the next thread tries again.

        Returns
        -------
        object
            What `make` returned.
        """
        if not self.most:
            return make()
        with self._lock:
            making, cleared = self._making.setdefault(key, threading.Lock()), self._cleared
        with making:
            with self._lock:
                if key in self._things:
                    self._things.move_to_end(key)
                    return self._things[key]
            thing = make()
            with self._lock:
                if cleared == self._cleared:  # otherwise it was made of what is out of date
                    self._things[key] = thing
                while len(self._things) > self.most:
                    self._things.popitem(last=False)
            return thing

    def clear(self) -> None:
        """Keep none of them any longer."""
        with self._lock:
            self._things.clear()
            self._cleared += 1
