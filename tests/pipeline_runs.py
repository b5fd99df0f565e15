"""Helpers of the pipeline's tests: files, jobs, and what embedding them gives in a form that can be compared."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import numpy as np

from made import write_image, write_sound
from sightsound import Item
from sightsound.contract.results import Outcome
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_stream


def jobs_of(files):
    return [Job(Item(str(file.parent), file.name)) for file in files]


def events_of(model, jobs, **options):
    """All rows and outcomes, as a list."""
    with embed_stream(model, jobs, **options) as events:
        return list(events)


def flat_events(model, files, **options):
    """All rows, one by one, and outcomes as values that can be compared."""
    found = []
    for event in events_of(model, jobs_of(files), **options):
        if isinstance(event, Outcome):
            found.append((event.item.path, event.status, event.flags))
            continue
        for i, row in enumerate(event.embeddings):
            span = None if event.spans is None else tuple(event.spans[i])
            score = None if event.scores is None else event.scores[i].tobytes()
            found.append((event.item.path, span, row.tobytes(), score))
    return found


def outcomes_of(model, files, **options):
    """The outcome of each file by its path."""
    events = events_of(model, jobs_of(files), **options)
    return {event.item.path: event for event in events if isinstance(event, Outcome)}


def pictures(folder: Path, count: int):
    return [write_image(folder / f"{i:03}.png", i) for i in range(count)]


def sounds(folder: Path, count: int, seconds: float | None = None):
    return [write_sound(folder / f"{i:03}.wav", i, seconds or 0.3 + 0.7 * (i % 5)) for i in range(count)]


def breaks_off(path: Path, seconds: float):
    """A recording whose sample 1,000 samples before the end is NaN."""
    data = bytearray(write_sound(path, 3, seconds=seconds).read_bytes())
    data[-4000:-3996] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    return path


def running_threads():
    """Return the threads that read, embed and scan. One that awaits an answer of a web server ends by its own limit."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("sightsound") and name != "sightsound-headers"]


def jitter(seed):
    """Stages that sleep for a random time before they do their work."""
    wait = random.Random(seed)

    def preprocess(inner, media, start, last):
        time.sleep(wait.random() * 0.004)
        return inner.preprocess(media, start, last)

    def embed(inner, inputs):
        time.sleep(wait.random() * 0.008)
        return inner.embed(inputs)

    return {"preprocess": preprocess, "embed": embed}


def slow_embed(inner, inputs):
    time.sleep(0.002)
    return inner.embed(inputs)


def embed_after(count: int):
    """Stages of which the network waits until so many files have been decoded."""
    decoded, ahead = [], threading.Event()

    def preprocess(inner, media, start, last):
        decoded.append(start)
        if len(decoded) >= count:
            ahead.set()
        return inner.preprocess(media, start, last)

    def embed(inner, inputs):
        if not ahead.wait(60):
            raise RuntimeError("nothing was decoded meanwhile")
        return inner.embed(inputs)

    return {"preprocess": preprocess, "embed": embed}
