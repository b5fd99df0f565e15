"""Checks of the rows of texts."""

from __future__ import annotations

import numpy as np

from sightsound.contract.embedder import Output
from sightsound.testing.checks.stages import check_array
from sightsound.testing.media import TEXTS, odd_texts
from sightsound.testing.subject import TOLERANCE, NotApplicable, Subject, row_distance


def text_as_the_card_says(subject: Subject) -> str | None:
    """Check that the embedder has a method `text` exactly if the card says `text=True`."""
    card = subject.card
    has = callable(getattr(subject.model.embedder, "text", None))
    assert has or not card.text, "text: the card says text=True, but the embedder has no method `text`; add one"
    if has and not card.text:
        said = "the embedder has a method `text`, but the card says text=False"
        assert card.name.endswith("]"), f"text: {said}: nobody can use it; set text=True, or drop the method"
        return f"{said}; right if rows with these options cannot be compared with words"
    _require_text(subject)
    return None


def text_gives_rows(subject: Subject) -> str | None:
    """Check that `text` returns finite float32 (n, d) for any texts, as wide as what `embed` returns."""
    _require_text(subject)
    d = subject.embed(subject.inputs[:1]).embeddings.shape[1]
    for name, texts in {"ordinary texts": list(TEXTS), **{name: [text] for name, text in odd_texts().items()}}.items():
        given = list(texts)
        vectors = subject.text(given)
        check_array(f"text({name})", vectors, np.float32, (len(texts), d))
        assert given == texts, "text changed its list of texts: expected it as it was; work on a copy"
        rows = subject.postprocess(Output(vectors))
        check_array(f"postprocess() of text({name})", rows, np.float32, (len(texts), subject.card.dim))
        assert np.isfinite(rows).all(), (
            f"text of {name}: expected finite numbers, got NaN or infinity; likely a mean over no tokens, or a "
            "division by a norm of 0"
        )
    return None


def text_repeats(subject: Subject) -> str | None:
    """Check that a text has the same row in every call and beside any other texts, and that rows stay as they were."""
    _require_text(subject)
    texts = list(TEXTS)
    first = subject.text(texts)
    whole = np.array(first)
    long = odd_texts()["a very long text"]
    for what, chosen, given in (
        ("the same texts again", range(len(texts)), texts),
        ("one text alone", [1], texts[1:2]),
        ("the texts in reverse", range(len(texts))[::-1], texts[::-1]),
        ("a text beside a very long one", [0], [texts[0], long]),
    ):
        far = row_distance(subject.text(given)[: len(chosen)], whole[list(chosen)])
        assert far <= TOLERANCE, (
            f"{what}: expected the rows of the first call, got {far:.2g} apart; likely padding that the network takes "
            "for words (no attention mask), dropout in training mode, or batch normalisation"
        )
    assert np.array_equal(first, whole), (
        "text changed the rows that it had returned when it was called again: expected them as they were; likely one "
        "buffer for several outputs: return a copy"
    )
    return None


def different_texts_differ(subject: Subject) -> str | None:
    """Check that different texts have different rows."""
    _require_text(subject)
    rows = subject.postprocess(Output(subject.text(list(TEXTS))))
    for i, text in enumerate(TEXTS):
        for j in range(i):
            far = row_distance(rows[i : i + 1], rows[j : j + 1])
            assert far > 1e-6, (
                f"{TEXTS[j]!r} and {text!r}: expected different rows, got the same after `postprocess`; likely "
                "vectors that differ in length alone, words that are all unknown to the tokenizer, or the row of one "
                "token (the first) that is the same in all texts"
            )
    return None


def _require_text(subject: Subject) -> None:
    if not subject.card.text:
        raise NotApplicable("the card says text=False")
