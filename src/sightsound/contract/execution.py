"""How a network is run, and runtimes: other programs that run the network of an embedder."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Output
from sightsound.contract.errors import PluginError, SightsoundError

DEVICES = "auto, cpu, cuda, cuda:NUMBER or mps"
"""The names of devices that a user can give."""


def require_device(name: str) -> None:
    """Raise `SightsoundError` if a name is none of `DEVICES`. Whether the device is there, its framework says."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise SightsoundError(f"device {name!r}: expected {DEVICES}, got another name; use --device cpu")


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a network is run, by the embedder itself or by a runtime.

    Parameters
    ----------
    batch_size : int
        The number of inputs for which `embed` is most efficient on this device.
    workers : int
        How many threads may call `embed` at once.
    threads : int
        How many cores one call uses.
    device : str
        Where it runs: "cpu", "cuda:0", "mps".
    precision : str
        The precision of its products: "float32", "bf16", "int8".
    runtime : str
        The name of the runtime, "" for the embedder itself.

    Raises
    ------
    PluginError
        If a number is not a whole number from 1, or a text is empty.
    """

    batch_size: int = 8
    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    precision: str = "float32"
    runtime: str = ""

    def __post_init__(self) -> None:
        for name in ("batch_size", "workers", "threads"):
            try:
                object.__setattr__(self, name, whole_number(name, getattr(self, name)))
            except ValueError as error:
                raise PluginError(str(error)) from None
        for name in ("device", "precision"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise PluginError(f"{name}: expected a text, got {getattr(self, name)!r}")

    def __str__(self) -> str:
        count = f"{self.workers} worker{'s' * (self.workers > 1)} of {self.threads} thread{'s' * (self.threads > 1)}"
        parts = [self.runtime, self.device, self.precision, count, f"batches of {self.batch_size}"]
        return ", ".join(filter(None, parts))

    @classmethod
    def of(cls, embedder: object) -> Execution:
        """Return how an embedder runs by itself: its optional attributes of the same names, or their defaults.

        Raises
        ------
        PluginError
            If an attribute has a wrong value.
        """
        names = ("batch_size", "workers", "threads", "device", "precision")
        return cls(**{name: getattr(embedder, name) for name in names if hasattr(embedder, name)})


def whole_number(name: str, value: object) -> int:
    """Return a whole number from 1. Raises `ValueError`, which names it, for another value."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{name}: expected a whole number from 1, got {value!r}")
    return number


@dataclass(frozen=True)
class Compiled:
    """A network that a runtime has compiled.

    Parameters
    ----------
    embed : callable
        Takes inputs float32 (n, *card.input_shape), and returns `Output` as `Embedder.embed` does.
    execution : Execution
        How it runs. The host sets `runtime` to the name of the runtime.
    """

    embed: Callable[[Floats], Output]
    execution: Execution


class Runtime(Protocol):
    """Another way to run the network of an embedder: `embed` alone, `preprocess` and `postprocess` stay.

    In float32 a runtime must give the numbers of the network within the tolerance of its card. The host compares them
    when a network is first compiled on a machine, and the conformance kit does too. At another precision the runtime
    and its version become part of the space.

    Optional attributes: `precisions` (a tuple, by default `("float32",)`: what `[precision=...]` may be); `requires` (a
    tuple of names of packages: if one cannot be imported, the runtime is not used, and the user is told how to install
    it).

    Attributes
    ----------
    name : str
        A short name, such as "openvino".
    """

    name: str

    @property
    def version(self) -> str:
        """The version of the program that computes, such as that of its package; it may be a plain attribute.

        Compiled files of another version are not used. It must also be known if the package is missing: use "" or a
        constant then.
        """

    def fits(self, card: Card, device: str) -> bool:
        """Return whether it may run a network, as far as its card tells; import no framework here.

        Parameters
        ----------
        card : Card
            The card of the network.
        device : str
            As in `Load`.

        Returns
        -------
        bool
        """

    def compile(
        self, embedder: Embedder, *, device: str, precision: str, weights: Mapping[str, Path], cache: Path
    ) -> Compiled:
        """Return the compiled network.

        Parameters
        ----------
        embedder : Embedder
            The embedder. Its network is built when it is first asked for, for example by `module()`; a runtime that
            finds its compiled file in `cache` need not ask.
        device : str
            As in `Load`.
        precision : str
            One of `precisions`.
        weights : mapping of str to pathlib.Path
            The verified local file for the name of each file in the card's `weights`.
        cache : pathlib.Path
            A folder for compiled files of this space, runtime, version, precision and processor. It exists, and what
            is in it was written by this runtime.

        Returns
        -------
        Compiled
            The network and how it runs.

        Raises
        ------
        CannotRun
            If it cannot run this network after all, for example as the embedder has no `module`. The network runs by
            itself then. Other errors are reported.
        """


RegisterRuntime = Callable[[Runtime], None]
"""What the hook `register_runtimes` receives; a plugin calls it once for each runtime."""
