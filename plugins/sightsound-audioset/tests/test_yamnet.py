"""YAMNet in float32: Google's Keras layout, against the published definition and against our own reference."""

import h5py
import numpy as np
import pytest

import reference
from audioset_data import YAMNET_GOLDENS, cosines, golden_patches
from sightsound import SightsoundError
from sightsound_audioset import yamnet


@pytest.fixture(scope="module")
def published(shared):
    return yamnet.load_f32("cpu", {"yamnet.h5": shared / "weights/yamnet/yamnet.h5"})


@pytest.fixture(scope="module")
def seeded_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "yamnet.h5"
    write(path, reference.yamnet_weights())
    return path


def write(path, tensors):
    with h5py.File(path, "w") as file:
        for name, values in tensors.items():
            file[name] = values


@pytest.mark.parametrize("name", YAMNET_GOLDENS)
def test_the_network_gives_the_published_scores_for_the_golden_log_mel(published, shared, name):
    golden = np.load(shared / "goldens/yamnet" / name)
    found = published.embed(golden_patches(golden["log_mel"]))
    np.testing.assert_allclose(found.scores, golden["scores"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, golden["embeddings"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", YAMNET_GOLDENS)
def test_the_front_end_gives_the_golden_mel_magnitudes(published, shared, name):
    """The error is relative to the largest bin of a frame: TensorFlow's float32 transform is inexact in small bins."""
    golden = np.load(shared / "goldens/yamnet" / name)
    found = published.preprocess(golden["waveform"], 0, True).inputs
    expected = golden_patches(golden["log_mel"])
    assert found.shape == expected.shape
    found, expected = np.exp(found.astype(np.float64)), np.exp(expected.astype(np.float64))
    assert np.max(np.abs(found - expected).max(axis=2) / expected.max(axis=2)) < 2e-5


@pytest.mark.parametrize("name", YAMNET_GOLDENS)
def test_from_the_waveform_scores_and_embeddings_are_the_published_ones(published, shared, name):
    golden = np.load(shared / "goldens/yamnet" / name)
    found = published.embed(published.preprocess(golden["waveform"], 0, True).inputs)
    assert found.scores.shape == golden["scores"].shape
    np.testing.assert_allclose(found.scores, golden["scores"], rtol=0, atol=1e-3)
    assert cosines(found.embeddings, golden["embeddings"]).min() > 0.99999


def test_googles_smoke_test_passes(published):
    """Silence, a sine and noise have the class of that name among their first ten (yamnet_test.py)."""
    rng, labels = np.random.RandomState(51773), yamnet.F32.labels
    sounds = {
        "Silence": np.zeros(48000),
        "Sine wave": np.sin(2 * np.pi * 440 * np.linspace(0, 3, 48000)),
        "White noise": rng.uniform(-1, 1, 48000),
    }
    for label, sound in sounds.items():
        scores = published.embed(published.preprocess(sound.astype(np.float32), 0, True).inputs).scores.mean(axis=0)
        assert label in [labels[i] for i in np.argsort(-scores)[:10]]


def test_seeded_weights_give_the_golden_of_the_float64_reference(seeded_file):
    golden = np.load(reference.GOLDENS / "yamnet_seeded.npz")
    found = yamnet.load_f32("cpu", {"yamnet.h5": seeded_file}).embed(reference.patches(2))
    np.testing.assert_allclose(found.scores, golden["scores"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, golden["embeddings"], rtol=1e-4, atol=1e-5)


def test_the_golden_of_the_seeded_weights_equals_the_reference():
    golden = np.load(reference.GOLDENS / "yamnet_seeded.npz")
    embeddings, scores = reference.yamnet(reference.yamnet_weights(), reference.patches(2))
    np.testing.assert_allclose(golden["embeddings"], embeddings, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(golden["scores"], scores, rtol=1e-6)


def test_any_name_that_keras_gives_the_classifier_is_found(seeded_file, tmp_path):
    path = tmp_path / "yamnet.h5"
    write(path, {name.replace("dense/", "dense_3/"): value for name, value in reference.yamnet_weights().items()})
    inputs = reference.patches(1)
    renamed, plain = (yamnet.load_f32("cpu", {"yamnet.h5": file}).embed(inputs) for file in (path, seeded_file))
    assert np.array_equal(renamed.scores, plain.scores)


def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path):
    path = tmp_path / "yamnet.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(
        SightsoundError, match=r"yamnet\.h5: expected YAMNet's Keras weights .*, got: .*signature"
    ) as error:
        yamnet.load_f32("cpu", {"yamnet.h5": path}).prepare()
    assert "\n" not in str(error.value)


def test_a_missing_tensor_and_one_of_another_shape_are_named(tmp_path):
    tensors = reference.yamnet_weights()
    path = tmp_path / "yamnet.h5"
    write(path, {name: value for name, value in tensors.items() if not name.startswith("layer14/pointwise")})
    with pytest.raises(SightsoundError, match=r"expected YAMNet's Keras weights .* got: no layer14/pointwise_conv"):
        yamnet.load_f32("cpu", {"yamnet.h5": path}).prepare()
    write(path, tensors | {"dense/dense/kernel:0": np.zeros((1024, 10)), "dense/dense/bias:0": np.zeros(10)})
    with pytest.raises(SightsoundError, match=r"layer 28: expected weights \(521, 1024\), got \(10, 1024\)"):
        yamnet.load_f32("cpu", {"yamnet.h5": path}).prepare()


@pytest.mark.parametrize(("precision", "row", "score"), [("bf16", 0.01, 0.2), ("fp16", 1e-4, 0.02)])
def test_at_reduced_precision_it_is_near_the_published_scores(published, shared, precision, row, score):
    """Single windows lose more than others: bf16 keeps 8 bits of a product, fp16 11."""
    golden = np.load(shared / "goldens/yamnet" / YAMNET_GOLDENS[0])
    patches = golden_patches(golden["log_mel"])
    found, exact = published.network_at(precision)(patches), published.embed(patches)
    assert 1 - row < cosines(found.embeddings.astype(float), exact.embeddings.astype(float)).min() < 1
    assert np.abs(found.scores - golden["scores"]).max() < score
