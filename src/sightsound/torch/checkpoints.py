"""Checkpoints of a training: tensors in safetensors, the rest in its metadata as JSON. No pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightsound._atomic import atomic_path
from sightsound.torch.training import Epoch, Trained

_PARTS = ("module", "head", "best_module", "best_head")
State = dict[str, Tensor]


def write_checkpoint(
    file: Path,
    trained: Trained,
    epoch: int,
    done: int,
    losses: Sequence[float],
    best: tuple[State, State],
    epochs: Sequence[Epoch],
) -> None:
    """Write where a training is: its epoch, how many batches of it are done, and what was the best so far."""
    from safetensors.torch import save_file

    parts = (trained.module.state_dict(), trained.head.state_dict(), *best)
    tensors = {f"{part}.{name}": each for part, state in zip(_PARTS, parts) for name, each in state.items()}
    optimizer = trained.optimizer.state_dict()
    for number, values in optimizer["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in values.items()}
    facts = {
        "epoch": epoch,
        "done": done,
        "losses": list(losses),
        "epochs": [dataclasses.asdict(each) for each in epochs],
        "rates": [group["lr"] for group in optimizer["param_groups"]],
        "step": trained.schedule.last_epoch,
    }
    with atomic_path(file) as part:
        save_file(
            {name: each.detach().cpu().clone() for name, each in tensors.items()}, part, {"at": json.dumps(facts)}
        )


def read_checkpoint(file: Path, trained: Trained) -> tuple[int, int, list[float], tuple[State, State], list[Epoch]]:
    """Return what `write_checkpoint` was given, and set the network, the head and the optimizer as they were."""
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        facts: dict[str, Any] = json.loads(opened.metadata()["at"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
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
    epochs = [Epoch(**each) for each in facts["epochs"]]
    best = states["best_module"], states["best_head"]
    return facts["epoch"], facts["done"], facts["losses"], best, epochs
