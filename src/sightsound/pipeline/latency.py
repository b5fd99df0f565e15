"""Measure how long models take for an item."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.host.host import Host
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items

log = logging.getLogger(__name__)

_MOST_ITEMS = 12


def measure_latency(
    host: Host, models: Sequence[str], items: Sequence[Item], *, device: str = "auto"
) -> dict[str, float]:
    """Return the milliseconds that each model takes for an item, from file to embeddings, with all workers running.

    Parameters
    ----------
    host : Host
        Where models are looked up.
    models : sequence of str
        Names of models.
    items : sequence of Item
        Files. At most twelve are used, at equal distances.
    device : str
        Where the models run, see `Host.load`.

    Returns
    -------
    dict of str to float
        By model. One that cannot be loaded, or that fails on all items, is missing, and a warning in the log says why.
    """
    jobs = [Job(item) for item in [*items][:: max(1, len(items) // _MOST_ITEMS)][:_MOST_ITEMS]]
    found: dict[str, float] = {}
    for name in models:
        try:
            model = host.load(name, device)
            for _ in range(2):  # the first pass is a warm-up
                start = time.perf_counter()
                with embed_items(model, jobs) as embedded:
                    outcomes = [each.outcome for each in embedded]
                took = time.perf_counter() - start
            good = sum(outcome.status == "ok" for outcome in outcomes)
            if not good:
                raise SightsoundError(outcomes[0].reason or outcomes[0].status)
            found[name] = 1000 * took / good
        except SightsoundError as error:
            log.warning("%s: time not measured (%s)", name, error)
    return found
