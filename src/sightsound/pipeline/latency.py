"""How long networks take for an item, measured."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence

from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item, Outcome
from sightsound.host.host import Host
from sightsound.pipeline import run

log = logging.getLogger(__name__)

_ITEMS = 12


def milliseconds(host: Host, models: Sequence[str], items: Sequence[Item], *, device: str = "auto") -> dict[str, float]:
    """Milliseconds an item that each model takes from file to vectors, all workers running, on up to twelve of these
    items. A model that cannot be loaded, or whose items are gone, is left out, and the log says why."""
    chosen = [*items][:: max(1, len(items) // _ITEMS)][:_ITEMS]
    found: dict[str, float] = {}
    for name in models:
        try:
            model = host.load(name, device)
            for _ in range(2):  # the first time is for what is only done once
                start = time.perf_counter()
                with contextlib.closing(run.run(model, [run.Job(item) for item in chosen])) as batches:
                    ended = [event for events in batches for event in events if isinstance(event, Outcome)]
                took = time.perf_counter() - start
            good = sum(outcome.status == "ok" for outcome in ended)
            if not good:
                raise SightsoundError(ended[0].reason or ended[0].status)
            found[name] = 1000 * took / good
        except SightsoundError as error:
            log.warning("%s: time not measured (%s)", name, error)
    return found
