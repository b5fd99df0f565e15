"""Keras, imported with its backend torch, and networks built apart from those of the user."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sightsound.plugin import SightsoundError

Found = TypeVar("Found")
_lock = threading.RLock()


def import_keras() -> Any:
    """Return Keras.

    Raises
    ------
    SightsoundError
        If the process has imported it with another backend, or if it is Keras 2.
    """
    with _lock:
        if "keras" not in sys.modules:
            before = os.environ.get("KERAS_BACKEND")
            os.environ["KERAS_BACKEND"] = "torch"
            try:
                importlib.import_module("keras")
            finally:
                if before is None:
                    del os.environ["KERAS_BACKEND"]
                else:
                    os.environ["KERAS_BACKEND"] = before
    keras: Any = sys.modules["keras"]
    if int(keras.__version__.partition(".")[0]) < 3:
        raise SightsoundError(f"keras: expected version 3, got {keras.__version__}; pip install -U keras")
    got = keras.backend.backend()
    if got != "torch":
        raise SightsoundError(
            f"keras: expected the backend torch, got {got}, with which this program has imported it before; "
            "set KERAS_BACKEND=torch in its environment"
        )
    return keras


def built(build: Callable[[], Found], device: str = "cpu") -> Found:
    """Call a function that builds networks, in a thread of its own.

    Names that Keras makes up (`conv2d_3`), its scopes and its policies belong to a thread, so names are the same each
    time, and nothing that the user set takes part. Two settings of all threads are set meanwhile and restored.

    Parameters
    ----------
    build : callable
        It gets no arguments.
    device : str
        Where the numbers are: "cpu", or "meta" for shapes alone, which takes no memory.

    Returns
    -------
    What `build` returns.
    """
    keras = import_keras()

    def run() -> Found:
        with _lock:
            before = keras.config.floatx(), keras.config.image_data_format()
            keras.config.set_floatx("float32")
            keras.config.set_image_data_format("channels_last")
            try:
                with keras.device(device):
                    return build()
            finally:
                keras.config.set_floatx(before[0])
                keras.config.set_image_data_format(before[1])

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
