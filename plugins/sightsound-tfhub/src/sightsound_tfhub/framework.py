"""TensorFlow, imported at the first use: quiet, one core for each operator, and no GPU unless one is asked for."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from sightsound.plugin import SightsoundError, cores

_lock = threading.Lock()


def import_tensorflow() -> Any:
    """Import and return TensorFlow.

    If TensorFlow is not running yet in this process, its operators use one core each, and as many run at once as
    `cores` says. oneDNN is off unless the environment turns it on: with it, rows differ by rounding with what else is
    computed, and small batches are no faster.
    """
    with _lock:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        with _keras_on_torch():
            import tensorflow

        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        with contextlib.suppress(RuntimeError):  # it is running, with the settings of somebody else
            tensorflow.config.threading.set_intra_op_parallelism_threads(1)
            tensorflow.config.threading.set_inter_op_parallelism_threads(cores())
    return tensorflow


@contextlib.contextmanager
def _keras_on_torch() -> Iterator[None]:
    """Let TensorFlow, which imports Keras, import it with the backend torch if that is installed.

    A process has one backend. SavedModels need none, and other plugins may need torch.
    """
    if "KERAS_BACKEND" in os.environ or importlib.util.find_spec("torch") is None:
        yield
        return
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        yield
    finally:
        del os.environ["KERAS_BACKEND"]


def import_hub() -> Any:
    """Import and return tensorflow_hub, without the warnings about its own use of pkg_resources."""
    import_tensorflow()
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_hub
    return tensorflow_hub


def choose_device(name: str) -> str:
    """Return TensorFlow's name of a device.

    Parameters
    ----------
    name : str
        As for `Load`; `auto` is a GPU if TensorFlow sees one. `cpu` leaves the GPUs to other programs, if TensorFlow is
        not running yet.

    Raises
    ------
    SightsoundError
        If TensorFlow does not see the device.

    Returns
    -------
    str
        "/CPU:0" or "/GPU:N".
    """
    config = import_tensorflow().config
    with contextlib.suppress(RuntimeError):  # see above
        if name == "cpu":
            config.set_visible_devices([], "GPU")
        for gpu in config.get_visible_devices("GPU"):
            config.experimental.set_memory_growth(gpu, True)
    count = len(config.get_visible_devices("GPU"))
    kind, _, number = name.partition(":")
    if name == "cpu" or (name == "auto" and not count):
        return "/CPU:0"
    if kind in ("auto", "cuda") and int(number or 0) < count:
        return f"/GPU:{int(number or 0)}"
    raise SightsoundError(f"device {name!r}: TensorFlow sees {count or 'no'} GPUs in this process; use --device cpu")
