"""Files with the numbers of a network: examined before Keras reads them, then loaded into the network."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.plugin import SightsoundError

SEED = 0
"""Of the numbers of networks without weights."""

ALWAYS = 2**26
"""Bytes that a file may always unpack to, however small it is."""

FACTOR = 20
"""How many times its own size a larger file may unpack to."""

MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
"""What is in a `.keras` file. Assets, which other layers have, are not read."""


@contextlib.contextmanager
def member_of(file: Path, name: str) -> Iterator[Path]:
    """Yield one member of a `.keras` file as a file.

    Raises `SightsoundError` if it is damaged, or has other members or much larger ones than Keras writes.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(file) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                names = {member.filename for member in members}
                if other := sorted(names - MEMBERS):
                    raise SightsoundError(f"{file}: expected {', '.join(sorted(MEMBERS))}, got {other[0]!r} too")
                if missing := sorted(MEMBERS - names - {"metadata.json"}):
                    raise SightsoundError(f"{file}: expected {missing[0]}, got none; is it a network that Keras saved?")
                _check_size(file, sum(member.file_size for member in members))
                archive.extract(name, folder)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise SightsoundError(f"{file}: expected a .keras file, got: {reason(error)}; is it complete?") from error
        yield Path(folder, name)


def examine(file: Path) -> int:
    """Return how many numbers a `.keras` or HDF5 file has.

    Raises
    ------
    SightsoundError
        If it is damaged, refers to other files, has data other than numbers, or says that it has much more than fits
        into it.
    """
    import h5py

    numbers = size = 0

    def link(name: str | bytes, found: Any) -> str | bytes | None:
        return None if isinstance(found, h5py.HardLink) else name

    def item(name: str | bytes, found: Any) -> str | bytes | None:
        nonlocal numbers, size
        if not isinstance(found, h5py.Dataset):
            return None
        numbers += found.size or 0
        size += (found.size or 0) * found.dtype.itemsize
        return name if found.dtype.kind not in "fiub" or found.external or found.is_virtual else None

    with (
        _as_hdf5(file) as path,
        _opened(path, file) as opened,
    ):  # h5py does not bear errors of these functions; a name ends the visit
        other = opened.visititems_links(link) or opened.visititems(item)
    if other is not None:
        raise SightsoundError(f"{file}: {other!r}: expected numbers in this file, got a reference, or other data")
    _check_size(file, size)
    return numbers


def architecture_in(file: Path) -> str | None:
    """Return the architecture in an HDF5 file as JSON, or None if it has weights alone."""
    with _opened(file, file) as opened:
        found = opened.attrs.get("model_config")
    return found.decode() if isinstance(found, bytes) else found


def fill(model: Any, file: Path, name: str) -> Any:
    """Load the numbers of a `.keras` or HDF5 file into a network, and return it.

    Parameters
    ----------
    model : keras.Model
        The network.
    file : pathlib.Path
        The file.
    name : str
        The name of the model, for the error.

    Returns
    -------
    keras.Model
        The same network.

    Raises
    ------
    SightsoundError
        If the file is damaged or not one of this network.
    """
    require_numbers(file, model.count_params(), name)
    with _as_hdf5(file) as plain, _as_keras_names_it(plain) as path:
        by_name = {"by_name": True} if _in_another_order(model, path) else {}
        try:
            model.load_weights(path, **by_name)
        except Exception as error:  # Keras and h5py raise whatever they come upon
            raise SightsoundError(f"{file}: expected the weights of {name}, got others: {reason(error)}") from error
    return model


def require_numbers(file: Path, count: int, name: str) -> None:
    """Raise `SightsoundError` if a file has fewer numbers than a network of some name needs, or as `examine` does."""
    if (got := examine(file)) < count:
        raise SightsoundError(f"{file}: expected {count:,} numbers for {name}, got {got:,}")


def fill_with_seed(model: Any) -> Any:
    """Give a network random numbers, the same each time, and return it.

    Kernels are normal with the variance 2 / inputs (He et al., 2015); all else is as Keras sets it at first.
    """
    random = np.random.default_rng(SEED)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if "kernel" in variable.name and len(shape) > 1:
            inputs = np.prod(shape[:-2] if "depthwise" in variable.path else shape[:-1])
            variable.assign(random.normal(0, (2 / inputs) ** 0.5, shape).astype(np.float32))
    return model


def reason(error: BaseException) -> str:
    """Return the first sentence of an error, at most 200 characters."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line.partition(". ")[0].rstrip(".")[:200]


@contextlib.contextmanager
def _opened(path: Path, file: Path) -> Iterator[Any]:
    """Open HDF5 data that are those of a file, which is named in errors."""
    import h5py

    try:
        with h5py.File(path, "r") as opened:
            yield opened
    except SightsoundError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise SightsoundError(
            f"{file}: expected an HDF5 file of Keras, got: {reason(error)}; is it complete?"
        ) from error


def _in_another_order(model: Any, path: Path) -> bool:
    """Return whether a file of the older layout has the layers of a network, but in another order.

    Keras goes by the order then, and would confuse layers of equal shapes.
    """
    with _opened(path, path) as opened:
        group = opened.get("model_weights", opened)
        names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs.get("layer_names", ())]
        names = [name for name in names if len(group[name].attrs.get("weight_names", ()))]
    own = [layer.name for layer in model.layers if layer.weights]
    return names != own and sorted(names) == sorted(own)


@contextlib.contextmanager
def _as_hdf5(file: Path) -> Iterator[Path]:
    """Yield the HDF5 file in a `.keras` file, or a file that is one as it is."""
    if zipfile.is_zipfile(file):
        with member_of(file, "model.weights.h5") as member:
            yield member
    else:
        yield file


@contextlib.contextmanager
def _as_keras_names_it(file: Path) -> Iterator[Path]:
    """Yield an HDF5 file under a name from which Keras sees in which of its two layouts the weights are."""
    with _opened(file, file) as opened:
        old = "layer_names" in opened.attrs or "model_weights" in opened
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.h5" if old else "net.weights.h5")
        try:
            os.symlink(file.resolve(), path)
        except OSError:  # not everybody may make links on Windows
            shutil.copyfile(file, path)
        yield path


def _check_size(file: Path, size: int) -> None:
    most = max(ALWAYS, FACTOR * file.stat().st_size)
    if size > most:
        raise SightsoundError(f"{file}: expected at most {most:,} bytes for a file of its size, got {size:,}")
