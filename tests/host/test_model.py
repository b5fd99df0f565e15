"""A loaded model: the result of every stage is checked, and the error names the stage, the model and its plugin."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sightsound import Card, ClassList, Host, Output, Windows, hookimpl
from sightsound.contract.errors import MediaError, PluginError

IMAGE = Card(name="ones.image", modality="image", dim=4, input_shape=(2, 2, 3))
SOUND = Card(
    name="ones.sound",
    modality="sound",
    dim=3,
    input_shape=(10,),
    sample_rate=100,
    window=10,
    hop=5,
    classes=ClassList("some", ("low", "high")),
    scores="sigmoid",
)
PICTURE = np.zeros((5, 6, 3), np.uint8)
SAMPLES = np.zeros(20, np.float32)


def floats(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


class Ones:
    """A correct embedder with three windows of ones for any item; `parts` replaces what a stage returns or raises."""

    def __init__(self, card, **parts):
        self.card = card
        self.sound = card.modality == "sound"
        spans = np.array([[0.0, 0.1], [0.05, 0.15], [0.1, 0.2]])
        self.windows = Windows(floats(3, *card.input_shape), spans if self.sound else None)
        self.output = Output(floats(3, 7), floats(3, 2) if self.sound else None)
        self.rows = floats(3, card.dim)
        self.__dict__.update(parts)

    def preprocess(self, media, start, last):
        return given(self.windows)

    def embed(self, inputs):
        return given(self.output)

    def postprocess(self, output):
        return given(self.rows)

    @hookimpl
    def register_embedders(self, register):
        register(self.card, lambda device, weights: self)


def given(value):
    if isinstance(value, BaseException):
        raise value
    return value


def model(card, **parts):
    host = Host(installed=False)
    host.register(Ones(card, **parts), "maker")
    return host.load(card.name)


def rows(card, **parts):
    return model(card, **parts).rows(SAMPLES if card.modality == "sound" else PICTURE)


def test_correct_results_are_returned():
    spans, embeddings, scores = rows(SOUND)
    assert (spans.shape, embeddings.shape, scores.shape) == ((3, 2), (3, 3), (3, 2))
    spans, embeddings, scores = rows(IMAGE)
    assert (spans, embeddings.shape, scores) == (None, (3, 4), None)


def test_an_item_may_have_no_window():
    none = {
        "windows": Windows(floats(0, 10), np.empty((0, 2))),
        "output": Output(floats(0, 7), floats(0, 2)),
        "rows": floats(0, 3),
    }
    spans, embeddings, scores = rows(SOUND, **none)
    assert (spans.shape, embeddings.shape, scores.shape) == ((0, 2), (0, 3), (0, 2))


SPANS = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("card", "windows", "problem"),
    [
        (IMAGE, None, "returned nothing"),
        (IMAGE, floats(3, 2, 2, 3), "expected Windows, got ndarray"),
        (IMAGE, (floats(3, 2, 2, 3), None, False), "expected Windows, got tuple"),
        (IMAGE, Windows([1.0, 2.0]), "inputs: expected an array, got list"),
        (IMAGE, Windows(floats(2, 2, 3)), "inputs: expected float32 (n, 2, 2, 3), got float32 (2, 2, 3)"),
        (IMAGE, Windows(floats(1, 3, 2, 2)), "inputs: expected float32 (n, 2, 2, 3), got float32 (1, 3, 2, 2)"),
        (
            IMAGE,
            Windows(floats(1, 2, 2, 3, dtype=np.float64)),
            "inputs: expected float32 (n, 2, 2, 3), got float64 (1, 2, 2, 3)",
        ),
        (IMAGE, Windows(floats(1, 2, 2, 3), SPANS[:1]), "spans: expected None for an image"),
        (SOUND, Windows(floats(3, 10)), "spans: expected an array, got NoneType"),
        (SOUND, Windows(floats(3, 10), SPANS[:2]), "spans: expected float64 (3, 2), got float64 (2, 2)"),
        (
            SOUND,
            Windows(floats(3, 10), SPANS.astype(np.float32)),
            "spans: expected float64 (3, 2), got float32 (3, 2)",
        ),
        (SOUND, Windows(floats(3, 11), SPANS), "inputs: expected float32 (n, 10), got float32 (3, 11)"),
        (SOUND, ValueError("no\nsense"), "ValueError: no sense"),
    ],
)
def test_wrong_windows_name_stage_model_and_plugin(card, windows, problem):
    with pytest.raises(PluginError) as caught:
        rows(card, windows=windows)
    text = str(caught.value)
    assert text.startswith(f"preprocess of {card.name} (plugin maker): {problem}"), text
    assert text.endswith(f"; run `sightsound check-model {card.name}`")


@pytest.mark.parametrize(
    ("card", "output", "problem"),
    [
        (IMAGE, None, "returned nothing"),
        (IMAGE, floats(3, 7), "expected Output, got ndarray"),
        (IMAGE, Output(None), "embeddings: expected an array, got NoneType"),
        (IMAGE, Output(floats(2, 7)), "embeddings: expected float32 (3, n), got float32 (2, 7)"),
        (IMAGE, Output(floats(3)), "embeddings: expected float32 (3, n), got float32 (3,)"),
        (
            IMAGE,
            Output(floats(3, 7, dtype=np.float16)),
            "embeddings: expected float32 (3, n), got float16 (3, 7)",
        ),
        (IMAGE, Output(floats(3, 7), floats(3, 2)), "scores: expected None, as the card has no scores"),
        (SOUND, Output(floats(3, 7)), "scores: expected an array, got NoneType"),
        (SOUND, Output(floats(3, 7), floats(3, 3)), "scores: expected float32 (3, 2), got float32 (3, 3)"),
        (SOUND, Output(floats(3, 7), floats(2, 2)), "scores: expected float32 (3, 2), got float32 (2, 2)"),
        (SOUND, KeyError("layer"), "KeyError: 'layer'"),
    ],
)
def test_a_wrong_output_names_stage_model_and_plugin(card, output, problem):
    with pytest.raises(PluginError) as caught:
        rows(card, output=output)
    text = str(caught.value)
    assert text.startswith(f"embed of {card.name} (plugin maker): {problem}"), text
    assert text.endswith(f"; run `sightsound check-model {card.name}`")


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, "returned nothing"),
        ([[1.0]], "rows: expected an array, got list"),
        (Output(floats(3, 4)), "rows: expected an array, got Output"),
        (floats(3, 5), "rows: expected float32 (3, 4), got float32 (3, 5)"),
        (floats(2, 4), "rows: expected float32 (3, 4), got float32 (2, 4)"),
        (floats(12), "rows: expected float32 (3, 4), got float32 (12,)"),
        (floats(3, 4, dtype=np.float64), "rows: expected float32 (3, 4), got float64 (3, 4)"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
)
def test_wrong_rows_name_stage_model_and_plugin(found, problem):
    with pytest.raises(PluginError) as caught:
        rows(IMAGE, rows=found)
    text = str(caught.value)
    assert text == f"postprocess of ones.image (plugin maker): {problem}; run `sightsound check-model ones.image`"


@pytest.mark.parametrize("part", ["windows", "output", "rows"])
def test_the_exception_of_a_stage_is_kept_as_the_cause(part):
    cause = RuntimeError("deep inside")
    with pytest.raises(PluginError) as caught:
        rows(IMAGE, **{part: cause})
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("part", ["windows", "output", "rows"])
@pytest.mark.parametrize("error", [MemoryError("cuda:0: no room"), MediaError("too small"), KeyboardInterrupt()])
def test_memory_errors_errors_of_the_package_and_interrupts_are_passed_on(part, error):
    with pytest.raises(type(error)) as caught:
        rows(IMAGE, **{part: error})
    assert caught.value is error


def test_the_optional_attributes_of_an_embedder_have_defaults():
    plain, tuned = model(IMAGE), model(IMAGE, batch_size=3, workers=2, device="cuda:1")
    assert (plain.batch_size, plain.workers, plain.device) == (8, 1, "cpu")
    assert (tuned.batch_size, tuned.workers, tuned.device) == (3, 2, "cuda:1")
    assert (plain.plugin, plain.card, plain.space.name) == ("maker", IMAGE, "ones.image")


def test_a_block_of_sound_reaches_the_embedder_unchanged():
    seen = []

    class Recording(Ones):
        def preprocess(self, media, start, last):
            seen.append((media, start, last))
            return self.windows

    host = Host(installed=False)
    host.register(Recording(SOUND), "maker")
    host.load("ones.sound").preprocess(SAMPLES, 40, False)
    host.load("ones.sound").preprocess(SAMPLES)
    assert [(media is SAMPLES, start, last) for media, start, last in seen] == [(True, 40, False), (True, 0, True)]


@pytest.mark.parametrize("attribute", ["batch_size", "workers", "threads"])
@pytest.mark.parametrize("value", [0, -1, "two", "2", 1.5, None])
def test_an_attribute_that_is_no_whole_number_from_1_is_named_with_its_plugin(attribute, value):
    assert getattr(model(IMAGE, **{attribute: np.int64(2)}).execution, attribute) == 2
    expected = f"ones.image (plugin maker): {attribute}: expected a whole number from 1, got {value!r}; correct"
    with pytest.raises(PluginError, match=re.escape(expected)):
        model(IMAGE, **{attribute: value})


class Panic(BaseException):
    """As the exception of pyo3 for a panic of Rust."""


@pytest.mark.parametrize(("stage", "part"), [("preprocess", "windows"), ("embed", "output"), ("postprocess", "rows")])
def test_an_exception_that_is_no_exception_of_python_is_an_error_of_the_plugin(stage, part):
    assert len(rows(IMAGE)[1]) == 3
    with pytest.raises(PluginError, match=f"{stage} of ones.image \\(plugin maker\\): Panic: index out of bounds"):
        rows(IMAGE, **{part: Panic("index out of bounds")})
    with pytest.raises(KeyboardInterrupt):
        rows(IMAGE, **{part: KeyboardInterrupt()})


def test_what_a_model_returns_is_copied_once():
    output, ones = Output(floats(3, 4), floats(3, 2)), floats(3, 3)
    found = model(SOUND, output=output, rows=ones)
    embedded = found.embed(floats(3, 10))
    assert not np.shares_memory(embedded.embeddings, output.embeddings)
    assert not np.shares_memory(embedded.scores, output.scores)
    assert not np.shares_memory(found.postprocess(embedded), ones)
    same = model(SOUND, output=output, rows=ones)
    passed = Output(ones, None)
    assert same.postprocess(passed) is ones, "rows that are the embeddings themselves are not copied again"
