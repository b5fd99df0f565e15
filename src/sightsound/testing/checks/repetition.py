"""Checks that the same item has the same rows: twice, after a reload, in any batch and in threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sightsound.testing.media import Media
from sightsound.testing.subject import TOLERANCE, Answer, Subject, distance


def same_twice(subject: Subject) -> str | None:
    """Check that the same item gives the same rows when it is embedded again after other items."""
    for name, answer in subject.baseline.items():
        far = distance(subject.answer(subject.media[name]), answer)
        assert far <= TOLERANCE, (
            f"{name!r} embedded twice: expected the same rows, got {far:.2g} apart; likely dropout in training mode "
            "(call .eval()), a random crop, or something kept from the call before"
        )
    return None


def same_after_a_reload(subject: Subject) -> str | None:
    """Check that loading the network again gives the same rows."""
    again = Subject(subject.card.name, host=subject.host)
    name, media = next(iter(subject.media.items()))
    far = distance(again.answer(media), subject.baseline[name])
    assert far <= TOLERANCE, (
        f"{name!r} after loading again: expected the same rows, got {far:.2g} apart; likely layers that no weight file "
        "fills (load with strict=True) or random numbers without a fixed seed"
    )
    return None


def independent_of_the_batch(subject: Subject) -> str | None:
    """Check that a row depends on its own input alone, not on the number, the content or the order of the others."""
    inputs = subject.inputs
    whole = subject.answer_for_inputs(None, inputs)
    for what, chosen in _selections(len(inputs)):
        alone = subject.answer_for_inputs(None, inputs[chosen])
        expected = Answer(None, whole.embeddings[chosen], None if whole.scores is None else whole.scores[chosen])
        far = distance(alone, expected)
        assert far <= TOLERANCE, (
            f"{what} of a batch: expected the rows that the whole batch gives, got {far:.2g} apart; likely batch "
            "normalisation in training mode (call .eval()), or a mean or maximum taken over the batch axis"
        )
    return None


def safe_in_threads(subject: Subject) -> str | None:
    """Check that several threads may preprocess at once, and as many as the embedder has workers may embed at once."""
    workers = threading.BoundedSemaphore(subject.model.workers)

    def answer(media: Media) -> tuple[Answer, list[tuple[Media, Media]]]:
        """Return the answer, and what the stages returned beside copies of it."""
        windows = subject.preprocess(media)
        with workers:
            output = subject.embed(windows.inputs)
            rows = subject.postprocess(output)
            returned = [windows.inputs, output.embeddings, rows, output.scores]
            pairs = [(each, np.array(each)) for each in returned if each is not None]
        scores = None if output.scores is None else pairs[3][1]
        return Answer(None, pairs[2][1], scores), pairs

    names = [*subject.media]  # in three orders, so that buffers that are used in turn get something else
    names = [*names, *reversed(names), *names[1:], *names[:1]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(answer, [subject.media[name] for name in names]))
    far = max(distance(one, subject.baseline[name]) for name, (one, _) in zip(names, found, strict=True))
    assert far <= TOLERANCE, (
        f"items in 4 threads, {subject.model.workers} in embed: expected the rows of one thread, got {far:.2g} apart; "
        "likely a buffer or a setting kept in self: keep it in the method"
    )
    kept = all(np.array_equal(each, copy, equal_nan=True) for _, pairs in found for each, copy in pairs)
    assert kept, (
        "items in 4 threads: expected inputs, rows and scores that stay as they were returned, but later calls have "
        "changed them; likely buffers that are used in turn: return copies"
    )
    return None


def _selections(n: int) -> Iterator[tuple[str, list[int]]]:
    yield from ((f"input {i} alone", [i]) for i in range(min(n, 2)))
    yield "the first two", list(range(n))[:2]
    yield "every second input", list(range(0, n, 2))
    yield "the reverse", list(range(n))[::-1]
