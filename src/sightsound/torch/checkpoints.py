"""Checkpoints of a training: tensors in safetensors, the rest in its metadata as JSON. No pickle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError
from sightsound.torch.training import Epoch, Trained

_PARTS = ("module", "head", "best_module", "best_head")
State = dict[str, Tensor]


class Position(NamedTuple):
    """Where a training is.

    Parameters
    ----------
    epoch : int
        The epoch that it is in.
    done : int
        How many batches of it are done.
    losses : list of float
        Their losses.
    best : pair of dict
        The state dicts of the network and the head of the best epoch so far.
    epochs : list of Epoch
        Those that have ended.
    correct : list of ndarray
        Which held-out items were right after each of them.
    """

    epoch: int
    done: int
    losses: list[float]
    best: tuple[State, State]
    epochs: list[Epoch]
    correct: list[NDArray[np.float64]]


def write_checkpoint(file: Path, trained: Trained, at: Position, training: str) -> None:
    """Write where a training is, with what it needs to go on.

    Parameters
    ----------
    file : pathlib.Path
        The file. It is replaced as a whole, or not at all.
    trained : Trained
        The network, the head and the optimizer.
    at : Position
        Where it is.
    training : str
        What it trains, on what, and how.
    """
    from safetensors.torch import save_file

    parts = (trained.module.state_dict(), trained.head.state_dict(), *at.best)
    tensors = {f"{part}.{name}": each for part, state in zip(_PARTS, parts) for name, each in state.items()}
    optimizer = trained.optimizer.state_dict()
    for number, values in optimizer["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
    facts = {
        "training": training,
        "epoch": at.epoch,
        "done": at.done,
        "losses": at.losses,
        "epochs": [dataclasses.asdict(each) for each in at.epochs],
        "correct": [each.tolist() for each in at.correct],
        "rates": [group["lr"] for group in optimizer["param_groups"]],
        "step": trained.schedule.last_epoch,
    }
    with atomic_path(file) as part:
        part.touch()
        mode = part.stat().st_mode  # safetensors writes files that only their owner may read
        save_file(
            {name: each.detach().cpu().clone() for name, each in tensors.items()}, part, {"at": json.dumps(facts)}
        )
        part.chmod(mode)


def read_checkpoint(file: Path, trained: Trained, training: str) -> Position:
    """Return where a training was, and set the network, the head and the optimizer as they were.

    Parameters
    ----------
    file : pathlib.Path
        What `write_checkpoint` wrote.
    trained : Trained
        A network, a head and an optimizer of the same training.
    training : str
        What it trains, on what, and how.

    Raises
    ------
    SightsoundError
        If the file is no checkpoint, is damaged, or is of another training.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            facts: dict[str, Any] = json.loads(opened.metadata()["at"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if facts["training"] != training:
            raise SightsoundError(
                f"{file}: is the checkpoint of another training (network, items or settings differ); name another file"
            )
        return _resume(facts, tensors, trained)
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SightsoundError(f"{file}: expected a checkpoint ({reason}); remove it to start anew") from error


def _resume(facts: dict[str, Any], tensors: State, trained: Trained) -> Position:
    states: dict[str, State] = {part: {} for part in _PARTS}
    moments: dict[int, dict[str, Tensor]] = {}
    for name, each in tensors.items():
        part, _, rest = name.partition(".")
        if part == "optimizer":
            number, _, rest = rest.partition(".")
            moments.setdefault(int(number), {})[rest] = each
        else:
            states[part][rest] = each
    trained.module.load_state_dict(states["module"])
    trained.head.load_state_dict(states["head"])
    own = trained.optimizer.state_dict()
    own["state"] = moments
    for group, rate in zip(own["param_groups"], facts["rates"]):
        group["lr"] = rate
    trained.optimizer.load_state_dict(own)
    trained.schedule.last_epoch = facts["step"]
    return Position(
        facts["epoch"],
        facts["done"],
        facts["losses"],
        (states["best_module"], states["best_head"]),
        [Epoch(**each) for each in facts["epochs"]],
        [np.array(each, np.float64) for each in facts["correct"]],
    )
