"""An embedder that is loaded, with the stages that stand round it, every call checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Layer, Output, Windows
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.space import Space

BATCH_SIZE = 8
"""For an embedder that names none."""


class Model:
    """What `Host.load` returns. The three stages raise `PluginError` with the stage and the plugins where one raises,
    returns nothing, or returns another shape or dtype than the card says; `MemoryError` and the package's own errors
    come through as they are. `stages` are the calls
    without checks, and `others` names, for each stage, the plugins that stand in it besides the embedder's."""

    def __init__(
        self,
        embedder: Embedder,
        *,
        space: Space,
        plugin: str,
        stages: dict[str, Callable[..., Any]],
        others: dict[str, list[str]],
    ) -> None:
        self.embedder = embedder
        self.space = space
        self.plugin = plugin
        self.stages = stages
        self.others = others

    @property
    def card(self) -> Card:
        return self.embedder.card

    @property
    def batch_size(self) -> int:
        """How many inputs `embed` likes at once on this device."""
        return int(getattr(self.embedder, "batch_size", BATCH_SIZE))

    @property
    def workers(self) -> int:
        """How many threads may call `embed` at the same time."""
        return int(getattr(self.embedder, "workers", 1))

    @property
    def device(self) -> str:
        return str(getattr(self.embedder, "device", "cpu"))

    def layers(self) -> list[Layer]:
        """The layers that the option `layer` of this model's name may name. Raises `SightsoundError` where there are
        none to name."""
        return layers(self.embedder, self.card.name, self.plugin)

    def preprocess(self, media: NDArray[Any], start: int = 0, last: bool = True) -> Windows:
        """One picture, or one block of sound (see `framing.blocks`) -> checked `Windows`."""
        found = self._call("preprocess", media=media, start=start, last=last)
        if not isinstance(found, Windows):
            raise self._broken("preprocess", f"expected Windows, got {type(found).__name__}")
        self._check("preprocess", "inputs", found.inputs, np.float32, (None, *self.card.input_shape))
        if self.card.modality == "sound":
            self._check("preprocess", "spans", found.spans, np.float64, (len(found.inputs), 2))
        elif found.spans is not None:
            raise self._broken("preprocess", "spans: expected None for an image")
        return found

    def embed(self, inputs: Floats) -> Output:
        """float32 (n, *card.input_shape) -> checked `Output`."""
        found = self._call("embed", inputs=inputs)
        if not isinstance(found, Output):
            raise self._broken("embed", f"expected Output, got {type(found).__name__}")
        self._check("embed", "embeddings", found.embeddings, np.float32, (len(inputs), None))
        if self.card.scores:
            self._check("embed", "scores", found.scores, np.float32, (len(inputs), len(self.card.labels)))
        elif found.scores is not None:
            raise self._broken("embed", "scores: expected None, as the card has no scores")
        return found

    def postprocess(self, output: Output) -> Floats:
        """-> checked float32 (n, card.dim)."""
        found: Floats = self._call("postprocess", output=output)
        self._check("postprocess", "rows", found, np.float32, (len(output.embeddings), self.card.dim))
        return found

    def rows(self, media: NDArray[Any]) -> tuple[Seconds | None, Floats, Floats | None]:
        """One whole item in memory -> spans (n, 2) or None, embeddings (n, dim), scores (n, labels) or None."""
        windows = self.preprocess(media)
        if not len(windows.inputs):
            scores = np.empty((0, len(self.card.labels)), np.float32) if self.card.scores else None
            return windows.spans, np.empty((0, self.card.dim), np.float32), scores
        output = self.embed(windows.inputs)
        return windows.spans, self.postprocess(output), output.scores

    def _call(self, stage: str, **arguments: Any) -> Any:
        try:
            found = self.stages[stage](embedder=self.embedder, **arguments)
        except (SightsoundError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise self._broken(stage, f"{type(error).__name__}: {error}") from error
        if found is None:
            raise self._broken(stage, "returned nothing")
        return found

    def _check(self, stage: str, what: str, found: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
        if not isinstance(found, np.ndarray):
            raise self._broken(stage, f"{what}: expected an array, got {type(found).__name__}")
        fits = len(found.shape) == len(shape) and all(want in (None, got) for want, got in zip(shape, found.shape))
        if not fits or found.dtype != dtype:
            expected = ", ".join("n" if size is None else str(size) for size in shape)
            raise self._broken(
                stage, f"{what}: expected {np.dtype(dtype)} ({expected}), got {found.dtype} {found.shape}"
            )

    def _broken(self, stage: str, problem: str) -> PluginError:
        problem = " ".join(problem.split())
        others = self.others.get(stage, [])
        beside = f", with {', '.join(others)} in this stage" if others else ""
        return PluginError(
            f"{stage} of {self.card.name} (plugin {self.plugin}{beside}): {problem}; "
            f"run `sightsound check-model {self.card.name}`"
        )


def layers(told_by: object, name: str, plugin: str) -> list[Layer]:
    """What the method `layers` of an embedder, or of what loads it, gives.

    Raises `SightsoundError` where there is none, `PluginError` where it fails or gives something else.
    """
    ask = getattr(told_by, "layers", None)
    if ask is None:
        raise SightsoundError(f"{name}: plugin {plugin!r} tells of no layers in it; name a model without [layer=...]")
    try:
        found = list(ask())
    except SightsoundError:
        raise
    except Exception as error:
        raise PluginError(f"layers of {name} (plugin {plugin}): {type(error).__name__}: {error}") from error
    wrong = next((layer for layer in found if not isinstance(layer, Layer)), None)
    if wrong is not None:
        raise PluginError(f"layers of {name} (plugin {plugin}): expected Layer, got {type(wrong).__name__}")
    return found
