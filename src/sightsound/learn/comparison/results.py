"""The results of a comparison of networks, and the networks that no other one beats."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from sightsound.contract.card import Modality
from sightsound.contract.execution import Execution
from sightsound.contract.results import Outcome
from sightsound.linear.report import Estimate

Accuracy = Literal["probe", "neighbours", "top1", "top5"]
Time = Literal["network", "total"]


@dataclass(frozen=True)
class ComparedModel:
    """One network of a comparison: how good, how fast and how large it is.

    Parameters
    ----------
    name : str
        The name of the network, with `@RUNTIME` where one was asked for.
    reason : str
        Why it could not be measured, in one line; "" if it was. All fields below are empty then.
    probe, neighbours : Estimate or None
        The accuracy of a linear probe, and of the five nearest neighbours, on items that they were not fitted to. None
        where fewer than two classes have two items.
    top1, top5 : Estimate or None
        The proportion of items whose folder names the best class of the network's own, or one of the best five. Items
        in folders that are no class of the network do not count. None where no folder is. `top5` is None for a network
        of five classes or fewer, which would always be right.
    matched : int
        How many of the folders are classes of the network.
    published : float or None
        The accuracy that its card states, on ImageNet in per cent.
    network_ms, total_ms : float or None
        Milliseconds for an item: of the network alone, and from file to row, decoding and preprocessing included.
    relative_network, relative_total : float or None
        These times divided by those of the fastest network.
    size : int or None
        Bytes of its weight files on disk; 0 if it has none, None if that is not known.
    params, dim : int or None
        Its parameters, and the length of its rows.
    memory : int or None
        Bytes of memory that its process needed at most while it embedded the items, Python and the framework included.
        None where it had no process of its own. The memory of a GPU does not count.
    execution : Execution or None
        How it ran.
    space : str
        The fingerprint of its space.
    notes : tuple of str
        Which folders are no class of it, and what could not be measured.
    """

    name: str
    reason: str = ""
    probe: Estimate | None = None
    neighbours: Estimate | None = None
    top1: Estimate | None = None
    top5: Estimate | None = None
    matched: int = 0
    published: float | None = None
    network_ms: float | None = None
    total_ms: float | None = None
    relative_network: float | None = None
    relative_total: float | None = None
    size: int | None = None
    params: int | None = None
    dim: int | None = None
    memory: int | None = None
    execution: Execution | None = None
    space: str = ""
    notes: tuple[str, ...] = ()

    def accuracy(self, kind: Accuracy) -> Estimate | None:
        """Return one of its accuracies, None if it was not measured."""
        found: Estimate | None = getattr(self, kind)
        return found

    def relative(self, time: Time) -> float | None:
        """Return one of its relative times, None if it was not measured."""
        return self.relative_network if time == "network" else self.relative_total


@dataclass(frozen=True)
class ModelComparison:
    """The result of `compare_models`.

    Parameters
    ----------
    models : tuple of ComparedModel
        The networks in the order in which they were named, those that could not be measured too.
    data : str
        The name of the folder.
    modality : {"image", "sound"}
        What is in it.
    items : int
        How many items the networks were compared on: those that all of them have rows of.
    classes : tuple of str
        The names of the class folders of these items, sorted.
    majority : float
        The proportion of the commonest class: the accuracy of always predicting it.
    repeats : int
        How often each time was measured; the median counts.
    machine : str
        The processor and the number of cores.
    failures : tuple of Outcome
        The files that could not be read, or gave no row in a network.
    notes : tuple of str
        What was left out, and why.
    """

    models: tuple[ComparedModel, ...]
    data: str
    modality: Modality
    items: int
    classes: tuple[str, ...]
    majority: float
    repeats: int
    machine: str
    failures: tuple[Outcome, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def front(self, accuracy: Accuracy = "probe", time: Time = "network") -> tuple[str, ...]:
        """Return the names of the networks that no other one beats: the Pareto front, the fastest first.

        Parameters
        ----------
        accuracy : {"probe", "neighbours", "top1", "top5"}
            Which accuracy counts.
        time : {"network", "total"}
            Which time counts: of the network alone, or from file to row.

        Returns
        -------
        tuple of str
            A network is left out if another one is at least as fast and as accurate, and better in one of both.
        """
        points = []
        for model in self.models:
            estimate, relative = model.accuracy(accuracy), model.relative(time)
            if estimate is not None and relative is not None:
                points.append((relative, -estimate.value, model.name))
        kept: list[tuple[float, float, str]] = []
        for point in sorted(points):
            if not kept or point[1] < kept[-1][1] or point[:2] == kept[-1][:2]:
                kept.append(point)
        return tuple(name for _, _, name in kept)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values for JSON, with the names of the Pareto front of probe and network as `front`."""
        failures = [
            {"path": each.item.path, "status": each.status, "reason": each.reason, "root": each.item.root}
            for each in self.failures
        ]
        plain = dataclasses.asdict(dataclasses.replace(self, failures=()))
        values: dict[str, Any] = json.loads(json.dumps(plain | {"failures": failures, "front": self.front()}))
        return values
