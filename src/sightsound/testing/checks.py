"""The checks, each one small function: its docstring is the rule, its AssertionError names the likely cause."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from sightsound.contract import hookspecs
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Windows
from sightsound.media import framing
from sightsound.testing.media import Media, cut, odd
from sightsound.testing.subject import TOLERANCE, Rows, Subject, apart, copy, distance

Check = Callable[[Subject], str | None]
FRAMEWORKS = (
    *("torch", "torchvision", "torchaudio", "timm", "tensorflow", "keras", "tf_keras", "jax", "onnxruntime"),
    *("openvino", "faiss", "sklearn", "librosa", "numba", "pandas"),
)
"""What a plugin may import when it loads a network, and not before."""

_IMPORT = """
import sys, importlib, numpy, pluggy, sightsound.contract.card, sightsound.media.framing
before = set(sys.modules)
module, _, path = sys.argv[1].partition(":")
plugin = importlib.import_module(module)
for name in filter(None, path.split(".")):
    plugin = getattr(plugin, name)
if hasattr(plugin, "register_embedders"):
    plugin.register_embedders(register=lambda card, load: None)
print(*(name for name in sys.argv[2:] if name in set(sys.modules) - before))
"""


def shapes_and_dtypes(subject: Subject) -> str | None:
    """Every stage returns NumPy arrays of the dtype and shape that the contract and the card say."""
    card = subject.card
    for name, media in subject.media.items():
        windows = subject.preprocess(media)
        n = len(windows.inputs)
        _array(f"preprocess({name!r}).inputs", windows.inputs, np.float32, (None, *card.input_shape))
        if card.modality == "sound":
            _array(f"preprocess({name!r}).spans", windows.spans, np.float64, (n, 2))
        else:
            assert windows.spans is None, "preprocess: spans: expected None for a picture; leave them out"
        output = subject.embed(windows.inputs)
        _array("embed().embeddings", output.embeddings, np.float32, (n, None))
        if output.scores is not None:
            _array("embed().scores", output.scores, np.float32, (n, None))
        _array("postprocess()", subject.postprocess(output), np.float32, (n, card.dim))
    return None


def rows_are_finite(subject: Subject) -> str | None:
    """No NaN and no infinity at any stage, on ordinary and on odd items."""
    for name, media in {**subject.media, **odd(subject.card)}.items():
        try:
            windows = subject.preprocess(media)
            inputs = _ends(windows.inputs)
            stages = {"preprocess": inputs}
            if len(inputs):
                rows = subject.finish(None, inputs)
                stages |= {"postprocess": rows.embeddings}
                stages |= {} if rows.scores is None else {"scores": rows.scores}
        except AssertionError:
            continue  # `odd_inputs_work` and the others report what raises
        for stage, found in stages.items():
            assert np.isfinite(found).all(), (
                f"{stage} of {name!r}: expected finite numbers, got NaN or infinity; likely log(0) or a division by a "
                "norm or deviation of 0: add the network's own small constant before it"
            )
    return None


def spans_are_ordered_and_inside(subject: Subject) -> str | None:
    """Seconds begin before they end, lie inside the item, and go forward."""
    if subject.card.modality == "image":
        return "a picture has no seconds"
    rate, _, _ = cut(subject.card)
    for name, media in subject.media.items():
        spans = subject.preprocess(media).spans
        assert spans is not None, "preprocess: expected spans for sound, got None; framing.frames returns them"
        length = len(media) / rate
        outside = (spans[:, 0] < 0) | (spans[:, 1] > length + 1e-9)
        assert not outside.any(), (
            f"spans of {name!r}: expected within 0 to {length:.3f} s, got {spans[outside][0].tolist()}; likely samples "
            "for seconds, or the padding counted: clip the end to the item, as framing.frames does"
        )
        assert (spans[:, 0] < spans[:, 1]).all(), f"spans of {name!r}: expected start < end; likely swapped or empty"
        ordered = (np.diff(spans[:, 0]) > 0).all() and (np.diff(spans[:, 1]) >= 0).all()
        assert ordered, f"spans of {name!r}: expected in the order of time; likely sorted otherwise or repeated"
    return None


def windows_as_the_card_says(subject: Subject) -> str | None:
    """A recording has as many windows as `window`, `hop` and `tail` give, and `padded` tells of zeros added."""
    if subject.card.window is None:
        return "the card has no windows"
    _, window, hop = cut(subject.card)
    noise = odd(subject.card)["very long"]
    for n in (max(1, window // 2), window, window + 1, window + hop, window + 2 * hop + hop // 2):
        if n > len(noise):
            continue
        found, expected = subject.preprocess(noise[:n]), framing.count_windows(subject.card, n)
        assert len(found.inputs) == expected, (
            f"{n} samples: expected {expected} windows (window {window}, hop {hop}, tail {subject.card.tail!r}), got "
            f"{len(found.inputs)}; likely a tail that is dropped or padded against the card, or another framing: use "
            "framing.frames, or correct the card"
        )
    for n, padded in ((max(1, window // 2), window > 1), (window, False)):
        found = subject.preprocess(noise[:n])
        assert found.padded == padded, (
            f"{n} samples, window {window}: expected padded={padded}, got {found.padded}; pass on what framing.frames "
            "returns"
        )
    return None


def blocks_equal_the_whole(subject: Subject) -> str | None:
    """A recording that comes in blocks, between those of another, has the rows of the whole."""
    if subject.card.window is None:
        return "pictures and whole recordings come in one piece"
    if not subject.repeatable:
        return "not checked: not the same twice"
    names = list(subject.media)[:2]
    for size in (1, 2, 3):
        pieces: dict[str, list[Windows]] = {name: [] for name in names}
        cuts = [framing.blocks(subject.card, [subject.media[name]], size) for name in names]
        for pair in zip(*cuts, strict=True):
            for name, block in zip(names, pair, strict=True):
                pieces[name].append(subject.preprocess(*block))
        for name in names:
            _same_as_whole(subject, name, pieces[name], size)
    return None


def inputs_stay_unchanged(subject: Subject) -> str | None:
    """No stage writes into what it was given: the host hands the same array to several networks."""
    for media in subject.media.values():
        mine = media.copy()
        windows = subject.call("preprocess", media=mine, start=0, last=True)
        _unchanged("preprocess", "media", media, mine)
        inputs = np.array(windows.inputs[:2])
        output = subject.call("embed", inputs=inputs)
        _unchanged("embed", "inputs", windows.inputs[:2], inputs)
        given = copy(output)
        subject.call("postprocess", output=given)
        _unchanged("postprocess", "embeddings", output.embeddings, given.embeddings)
        if output.scores is not None:
            _unchanged("postprocess", "scores", output.scores, given.scores)
    return None


def same_twice(subject: Subject) -> str | None:
    """The same item gives the same rows when asked again, with other items in between."""
    for name, rows in subject.baseline.items():
        far = distance(subject.rows(subject.media[name]), rows)
        assert far <= TOLERANCE, (
            f"{name!r} embedded twice: expected the same rows, got {far:.2g} apart; likely dropout in training mode "
            "(call .eval()), a random crop, or something kept from the call before"
        )
    return None


def same_after_a_reload(subject: Subject) -> str | None:
    """Loading the network again gives the same rows."""
    if not subject.repeatable:
        return "not checked: not the same twice"
    again = Subject(subject.card.name, host=subject.host)
    name, media = next(iter(subject.media.items()))
    far = distance(again.rows(media), subject.baseline[name])
    assert far <= TOLERANCE, (
        f"{name!r} after loading again: expected the same rows, got {far:.2g} apart; likely layers that no weight file "
        "fills (load with strict=True) or random numbers without a fixed seed"
    )
    return None


def independent_of_the_batch(subject: Subject) -> str | None:
    """A row depends on its own input alone: not on how many, which, or in what order the others are."""
    if not subject.repeatable:
        return "not checked: not the same twice"
    inputs = np.concatenate([subject.preprocess(media).inputs[:3] for media in subject.media.values()])[:8]
    whole = subject.finish(None, inputs)
    for what, pick in _selections(len(inputs)):
        part = subject.finish(None, inputs[pick])
        expected = Rows(None, whole.embeddings[pick], None if whole.scores is None else whole.scores[pick])
        far = distance(part, expected)
        assert far <= TOLERANCE, (
            f"{what} of a batch: expected the rows that the whole batch gives, got {far:.2g} apart; likely batch "
            "normalisation in training mode (call .eval()), or a mean or maximum taken over the batch axis"
        )
    return None


def safe_in_threads(subject: Subject) -> str | None:
    """Items may be preprocessed side by side, and embedded in as many threads as the embedder has workers."""
    if not subject.repeatable:
        return "not checked: not the same twice"
    workers = threading.BoundedSemaphore(subject.model.workers)

    def rows(media: Media) -> Rows:
        windows = subject.preprocess(media)
        with workers:
            return subject.finish(windows.spans, windows.inputs)

    names = [*subject.media] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(rows, [subject.media[name] for name in names]))
    far = max(distance(rows, subject.baseline[name]) for name, rows in zip(names, found, strict=True))
    assert far <= TOLERANCE, (
        f"items in 4 threads, {subject.model.workers} in embed: expected the rows of one thread, got {far:.2g} apart; "
        "likely a buffer or a setting kept in self: keep it in the method"
    )
    return None


def different_inputs_differ(subject: Subject) -> str | None:
    """Different items have different rows."""
    names = list(subject.media)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            a, b = (subject.baseline[name].embeddings[:1] for name in (one, other))
            assert a.shape != b.shape or apart(a, b) > 1e-6, (
                f"{one!r} and {other!r}: expected different rows, got the same; likely the input never reaches the "
                "network, is scaled to nothing (/ 255 twice), or every output saturates"
            )
    return None


def odd_inputs_work(subject: Subject) -> str | None:
    """Tiny, narrow, silent, loud and very long items are embedded like any other."""
    faults = []
    for name, media in odd(subject.card).items():
        try:
            for block in _host_blocks(subject.card, media):
                windows = subject.preprocess(*block)
                inputs = _ends(windows.inputs)
                n = len(subject.finish(None, inputs).embeddings) if len(inputs) else 0
                assert n == len(inputs), f"expected {len(inputs)} rows, got {n}"
        except AssertionError as error:
            faults.append(f"{name}: {error}")
    assert not faults, "; ".join(faults) + "; pad or resize to the network's input before anything that needs a size"
    return None


def scores_in_range(subject: Subject) -> str | None:
    """There are scores exactly where the card says so, one for each label, within the range of their kind."""
    card = subject.card
    for name, rows in subject.baseline.items():
        scores = rows.scores
        if card.scores is None:
            assert scores is None, (
                "scores: expected None as card.scores is None; declare scores and labels, or drop them"
            )
            continue
        assert scores is not None, f"scores: expected {card.scores}, got None; embed has to return Output(rows, scores)"
        assert scores.shape[1:] == (len(card.labels),), (
            f"scores: expected one for each of {len(card.labels)} labels, got {scores.shape[1:]}; likely a background "
            "class too many, or labels of another network"
        )
        assert not ((scores < -1e-6) | (scores > 1 + 1e-6)).any(), (
            f"scores of {name!r}: expected within [0, 1], got {np.nanmin(scores):.3g} to {np.nanmax(scores):.3g}; "
            f"likely logits: apply the {card.scores}"
        )
        if card.scores == "softmax":
            total = scores.sum(axis=1, dtype=np.float64)
            assert not (abs(total - 1) > 1e-3).any(), (
                f"scores of {name!r}: expected a sum of 1, got {total[0]:.4g}; likely a softmax over the wrong axis, "
                "or sigmoid scores: correct card.scores"
            )
    return None if card.scores else "no scores"


def labels_name_the_scores(subject: Subject) -> str | None:
    """Every score has a name of its own, or an id of its own, and different items have different scores."""
    card = subject.card
    if not card.labels:
        return "no scores"
    empty = [i for i, label in enumerate(card.labels) if label != label.strip() or not label.isprintable() or not label]
    assert not empty, (
        f"labels: expected words, got {card.labels[empty[0]]!r} at {empty[0]}; likely a table read with its line ends "
        "or blank lines: strip them, and see that no class is lost"
    )
    twice = [label for i, label in enumerate(card.labels) if label in card.labels[:i]]
    assert card.label_ids or not twice, (
        f"labels: expected all different, got {twice[0]!r} twice; tell the classes apart, or give label_ids"
    )
    first, *others = subject.baseline.values()
    if first.scores is None or any(apart(first.embeddings[:1], rows.embeddings[:1]) <= 1e-6 for rows in others):
        return None  # `scores_in_range` and `different_inputs_differ` report that
    far = max((apart(first.scores[:1], rows.scores[:1]) for rows in others if rows.scores is not None), default=1.0)
    assert far > 1e-6, (
        "scores: expected different ones for different items, got the same; likely of the wrong tensor, or every one "
        "saturates (a sigmoid or softmax taken twice)"
    )
    return None


def card_survives_json(subject: Subject) -> str | None:
    """The card written as JSON and read again is the same card."""
    card = subject.card
    advice = "use Python's own str, int, float and tuples, not NumPy numbers or lists"
    try:
        again = Card.from_json(card.to_json())
    except (TypeError, ValueError) as error:
        raise AssertionError(f"card: expected JSON, got {error}; {advice}") from error
    wrong = [field for field in vars(card) if getattr(again, field) != getattr(card, field)]
    assert not wrong, f"card: {', '.join(wrong)}: expected the same after JSON; {advice}"
    return None


def import_is_light(subject: Subject) -> str | None:
    """Importing the plugin and asking for its cards imports no framework: every command of the host does both."""
    points = [p for p in entry_points(group=hookspecs.PROJECT) if p.name == subject.model.plugin]
    if not points:
        return "not checked: the plugin was registered by hand, without an entry point"
    for point in points:
        ran = subprocess.run(
            [sys.executable, "-c", _IMPORT, point.value, *FRAMEWORKS],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"import of {point.value}: {ran.stderr.strip().splitlines()[-1]}"
        found = ran.stdout.split()
        assert not found, (
            f"import of {point.value}: expected no framework, got {', '.join(found)}; move its import into load, or "
            "into the methods that need it (`from sightsound import torch` counts as torch)"
        )
    return None


def same_numbers_plugins_keep_them(subject: Subject) -> str | None:
    """Installed stage plugins that declare `same_numbers = True` leave the rows of this model as they are."""
    standing = sorted({name for names in subject.model.others.values() for name in names})
    names = [row.name for row in subject.host.plugins if row.name in standing and row.same_numbers]
    if not names:
        return "no such stage plugin is installed"
    if not subject.repeatable:
        return "not checked: not the same twice"
    for plugin in names:
        bare = subject.without(plugin)
        for name, media in subject.media.items():
            expected = bare.rows(media)
            for turn in ("first", "second"):  # the second may come from a cache
                far = distance(subject.rows(media), expected)
                assert far <= TOLERANCE, (
                    f"stage plugin {plugin!r}, {name!r}, {turn} time: expected the rows of {subject.card.name} as they "
                    f"are, got {far:.2g} apart; drop its same_numbers = True and let stage_id(card) say what it does"
                )
    return None


def golden_file_agrees(subject: Subject) -> str | None:
    """The rows of the inputs in the golden file are the rows in the golden file."""
    if subject.golden is None:
        return "no golden file given"
    stored = _golden(subject.golden)
    card, revision, tolerance = subject.card, int(stored["revision"]), float(stored["tolerance"])
    made = f"made by {stored['model']} revision {revision}" + (f" ({stored['about']})" if str(stored["about"]) else "")
    assert revision == card.revision, (
        f"golden file: expected revision {card.revision}, got one {made}; write it anew with testing.write_golden"
    )
    for key in (key.removeprefix("media/") for key in stored if key.startswith("media/")):
        found, expected = subject.rows(stored[f"media/{key}"]).embeddings, stored[f"embeddings/{key}"]
        assert found.shape == expected.shape, f"golden {key!r}: expected {expected.shape}, got {found.shape}; {made}"
        far = apart(found, expected)
        assert far <= tolerance, (
            f"golden {key!r}: expected rows within {tolerance:.2g}, got {far:.2g} apart; {made}; likely other weights, "
            "another preprocessing or a new version of a library; if it is meant, raise card.revision and write it anew"
        )
    return None


def _golden(file: str | os.PathLike[str]) -> dict[str, Media]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
    except (AttributeError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise AssertionError(f"golden file: expected a file of testing.write_golden, got {error}") from error
    missing = {"model", "revision", "tolerance", "about"} - set(found)
    assert not missing, f"golden file: expected a file of testing.write_golden, got one without {sorted(missing)}"
    return found


def _array(what: str, found: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
    want = f"{np.dtype(dtype)} ({', '.join('n' if size is None else str(size) for size in shape)})"
    assert isinstance(found, np.ndarray), f"{what}: expected a NumPy array {want}, got {type(found).__name__}"
    fits = found.ndim == len(shape) and all(size in (None, got) for size, got in zip(shape, found.shape, strict=True))
    assert fits, f"{what}: expected {want}, got {found.shape}; does the card say what the network does?"
    assert found.dtype == dtype, (
        f"{what}: expected {want}, got {found.dtype}; convert with .astype(np.{np.dtype(dtype)})"
    )


def _unchanged(stage: str, what: str, before: Media, after: Media | None) -> None:
    same = after is not None and np.array_equal(before, after, equal_nan=True)
    assert same, (
        f"{stage} changed its {what}: expected them as they were; likely an operation in place (`-=`, `out=`, torch's "
        "`sub_`): work on a copy"
    )


def _selections(n: int) -> Iterator[tuple[str, list[int]]]:
    yield from ((f"input {i} alone", [i]) for i in range(min(n, 2)))
    yield "the first two", list(range(n))[:2]
    yield "every second input", list(range(0, n, 2))
    yield "the reverse", list(range(n))[::-1]


def _same_as_whole(subject: Subject, name: str, pieces: list[Windows], size: int) -> None:
    whole = subject.preprocess(subject.media[name])
    inputs = np.concatenate([piece.inputs for piece in pieces])
    what = f"{name!r} in {len(pieces)} blocks of {size} windows"
    assert len(inputs) == len(whole.inputs), (
        f"{what}: expected {len(whole.inputs)} windows as in one block, got {len(inputs)}; likely every block is "
        "padded: only the last may be (framing.frames does it)"
    )
    far = distance(subject.finish(None, inputs), subject.finish(None, whole.inputs))
    assert far <= TOLERANCE, (
        f"{what}: expected the rows of one block, got {far:.2g} apart; likely a mean, maximum or filter over the whole "
        "block instead of each window, or something kept from the block before"
    )
    spans = [piece.spans for piece in pieces if piece.spans is not None]
    if whole.spans is not None and spans:
        shift = abs(np.sort(np.concatenate(spans), axis=0) - np.sort(whole.spans, axis=0)).max(initial=0.0)
        assert shift <= 1e-6, f"{what}: expected the same seconds, got {shift:.3g} s apart; is `start` added?"


def _host_blocks(card: Card, media: Media) -> Iterator[tuple[Media, int, bool]]:
    """The item as the host would hand it over."""
    return iter([(media, 0, True)]) if card.modality == "image" else framing.blocks(card, [media])


def _ends(inputs: Floats) -> Floats:
    """At most eight inputs, from both ends: long items cost no more than short ones."""
    return inputs if len(inputs) <= 8 else np.concatenate([inputs[:4], inputs[-4:]])


CHECKS: tuple[Check, ...] = (
    shapes_and_dtypes,
    rows_are_finite,
    spans_are_ordered_and_inside,
    windows_as_the_card_says,
    blocks_equal_the_whole,
    inputs_stay_unchanged,
    same_twice,
    same_after_a_reload,
    independent_of_the_batch,
    safe_in_threads,
    different_inputs_differ,
    odd_inputs_work,
    scores_in_range,
    labels_name_the_scores,
    card_survives_json,
    import_is_light,
    same_numbers_plugins_keep_them,
    golden_file_agrees,
)
"""Every check, in the order in which it makes sense to mend them."""
