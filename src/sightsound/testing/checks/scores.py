"""Checks of the scores of a classifier and of the names of its classes."""

from __future__ import annotations

import numpy as np

from sightsound.testing.subject import NotApplicable, Subject, row_distance


def scores_in_range(subject: Subject) -> str | None:
    """Check that there are scores exactly if the card says so, one for each label, within the range of their kind."""
    card = subject.card
    inside = subject.beside("embed")
    for name, answer in subject.baseline.items():
        scores = answer.scores
        if card.scores is None:
            assert scores is None, (
                f"scores: expected None as card.scores is None; declare scores and classes, or drop them{inside}"
            )
            continue
        assert scores is not None, (
            f"scores: expected {card.scores}, got None; embed has to return Output(rows, scores)" + inside
        )
        assert scores.shape[1:] == (len(card.labels),), (
            f"scores: expected one for each of {len(card.labels)} labels, got {scores.shape[1:]}; likely a background "
            f"class too many, or labels of another network{inside}"
        )
        assert not ((scores < -1e-6) | (scores > 1 + 1e-6)).any(), (
            f"scores of {name!r}: expected within [0, 1], got {np.nanmin(scores):.3g} to {np.nanmax(scores):.3g}; "
            f"likely logits: apply the {card.scores}{inside}"
        )
        if card.scores == "softmax":
            total = scores.sum(axis=1, dtype=np.float64)
            assert not (abs(total - 1) > 1e-3).any(), (
                f"scores of {name!r}: expected a sum of 1, got {total[0]:.4g}; likely a softmax over the wrong axis, "
                f"or sigmoid scores: correct card.scores{inside}"
            )
    if card.scores is None:
        raise NotApplicable("the card has no scores")
    return None


def labels_name_the_scores(subject: Subject) -> str | None:
    """Check that every score has a name or an id of its own, and different items have different scores."""
    card = subject.card
    if not card.labels:
        raise NotApplicable("the card has no scores")
    empty = [i for i, label in enumerate(card.labels) if label != label.strip() or not label.isprintable() or not label]
    assert not empty, (
        f"labels: expected words, got {card.labels[empty[0]]!r} at {empty[0]}; likely a table read with its line ends "
        "or blank lines: strip them, and see that no class is lost"
    )
    repeated = [label for i, label in enumerate(card.labels) if label in card.labels[:i]]
    assert card.label_ids or not repeated, (
        f"labels: expected all different, got {repeated[0]!r} twice; tell the classes apart, or give label_ids"
    )
    first, *others = subject.baseline.values()
    assert first.scores is not None, "`scores_in_range` has checked that"
    far = max((row_distance(first.scores[:1], a.scores[:1]) for a in others if a.scores is not None), default=1.0)
    assert far > 1e-6, (
        "scores: expected different ones for different items, got the same; likely of the wrong tensor, or every one "
        "saturates (a sigmoid or softmax taken twice)"
    )
    return None
