"""VGGish: the raw embedding, and the published last step as options."""

import importlib.util

import numpy as np
import pytest
import torch

import reference
from audioset_data import VGGISH_GOLDENS, cosines
from sightsound import Output, SightsoundError, UnknownModel
from sightsound_audioset import log_mel, pca, vggish
from sightsound_audioset.embedder import PatchEmbedder
from sightsound_audioset.vggish_network import SHAPES, Vggish, read

WHOLE = [name for name in VGGISH_GOLDENS if name != "golden_short.npz"]


@pytest.fixture(scope="module")
def published(shared, tmp_path_factory):
    """The seeded network of the goldens, read from a file in the layout of torchvggish (288 MB)."""
    folder = shared / "weights/vggish"
    spec = importlib.util.spec_from_file_location("seeded_state_dict", folder / "seeded_state_dict.py")
    seeded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeded)
    tensors = seeded.seeded_state_dict()
    seeded.check(tensors, folder / "seeded_head.npz")
    path = tmp_path_factory.mktemp("weights") / vggish.NETWORK.name
    torch.save(tensors, path)
    yield vggish.load("cpu", {vggish.NETWORK.name: path})
    path.unlink()


@pytest.fixture(scope="module")
def projection(shared):
    return pca.read(shared / "weights/vggish/vggish_pca_params.npz")


def golden(shared, name):
    return np.load(shared / "goldens/vggish" / name)


@pytest.mark.parametrize("name", WHOLE)
def test_examples_are_the_published_ones(shared, name):
    expected = golden(shared, name)
    found = log_mel.windows(vggish.F32, expected["waveform"], 0, True)
    assert not found.padded
    np.testing.assert_allclose(found.inputs, expected["examples"], rtol=0, atol=1e-6)


def test_the_unpadded_front_end_has_no_example_for_a_short_sound_and_ours_pads_it(shared):
    expected = golden(shared, "golden_short.npz")
    found = log_mel.windows(vggish.F32, expected["waveform"], 0, True)
    assert len(expected["examples"]) == 0
    assert (len(found.inputs), found.padded) == (1, True)


@pytest.mark.parametrize("name", WHOLE)
def test_seeded_embeddings_are_the_published_ones_below_zero_too(shared, published, name):
    expected = golden(shared, name)
    found = published.embed(published.preprocess(expected["waveform"], 0, True).inputs)
    assert found.scores is None
    largest = np.abs(expected["embeddings_seeded"]).max()
    np.testing.assert_allclose(found.embeddings, expected["embeddings_seeded"], rtol=0, atol=1e-5 * largest)
    assert found.embeddings.min() < -0.1


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(("suffix", "divisor"), [("", 1), ("_50", 50)])
def test_pca_gives_the_published_numbers_from_the_golden_embeddings(shared, projection, name, suffix, divisor):
    expected = golden(shared, name)
    embeddings = expected["embeddings_seeded"] / np.float32(divisor)
    raw, steps = expected[f"pca_raw{suffix}"], expected[f"pca_quantized{suffix}"]
    np.testing.assert_allclose(projection.raw(embeddings), raw, rtol=1e-5, atol=1e-5 * np.abs(raw).max())
    np.testing.assert_allclose(projection.clipped(embeddings), np.clip(raw, -2, 2), rtol=0, atol=1e-5)
    position = (np.clip(raw, -2, 2) + 2) * 255 / 4
    on_a_step = np.abs(position - np.round(position)) < 1e-4
    difference = np.abs(projection.eight_bit(embeddings) - steps)
    assert np.all(difference[~on_a_step] == 0)
    assert np.all(difference <= 1)


def test_clipped_rows_are_the_goldens(shared, projection):
    expected = golden(shared, "golden_clip_speech.npz")
    found = projection.clipped(expected["embeddings_seeded"])
    np.testing.assert_allclose(found, expected["pca_clipped"], rtol=0, atol=1e-6)


def rows_in_batches(embedder, count, sizes):
    inputs = reference.patches(count)
    whole = embedder.embed(inputs).embeddings[:24]
    for size in sizes:
        parts = np.concatenate([embedder.embed(inputs[i : i + size]).embeddings for i in range(0, 24, size)])
        assert cosines(parts, whole).min() > 0.999999


@pytest.mark.slow
def test_batches_of_any_size_give_the_same_rows(published):
    rows_in_batches(published, 32, sizes=(1, 8))


def test_a_narrow_network_gives_the_same_rows_in_batches_from_1_to_256():
    rows_in_batches(PatchEmbedder(vggish.F32, narrow, "cpu", cpu_batch_size=8), 256, sizes=(1, 2, 3, 4, 6, 8, 12))


def narrow():
    return Vggish({name: torch.from_numpy(value) for name, value in reference.vggish_weights().items()})


def test_a_narrow_network_gives_the_golden_of_the_float64_reference():
    expected = np.load(reference.GOLDENS / "vggish_narrow.npz")["embeddings"]
    with torch.inference_mode():
        found = narrow()(torch.from_numpy(reference.patches(2))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(expected, reference.vggish(reference.vggish_weights(), reference.patches(2)), rtol=1e-9)


@pytest.fixture
def seeded_pca(tmp_path):
    rng = np.random.RandomState(12)
    arrays = {"pca_eigen_vectors": rng.standard_normal((128, 128)) * 0.1, "pca_means": rng.standard_normal((128, 1))}
    np.savez(tmp_path / "pca.npz", **arrays)
    return tmp_path / "pca.npz", arrays


def test_pca_projects_clips_and_rounds_down(seeded_pca):
    path, arrays = seeded_pca
    embeddings = np.random.RandomState(13).standard_normal((5, 128)).astype(np.float32)
    raw = (arrays["pca_eigen_vectors"] @ (embeddings.T.astype(np.float64) - arrays["pca_means"])).T
    projection = pca.read(path)
    np.testing.assert_allclose(projection.raw(embeddings), raw, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(projection.clipped(embeddings), np.minimum(2, np.maximum(-2, raw)), rtol=1e-6)
    steps = np.uint8((np.minimum(2, np.maximum(-2, raw)) + 2) * (255 / 4))
    assert np.array_equal(projection.eight_bit(embeddings), steps)
    assert projection.eight_bit(embeddings[:0]).shape == (0, 128)


@pytest.mark.parametrize("options", ["pca", "pca,8bit", "8bit,pca"])
def test_options_choose_the_last_step(options, seeded_pca, monkeypatch):
    path, _ = seeded_pca
    monkeypatch.setattr("sightsound_audioset.vggish_network.read", lambda path: torch.nn.Identity())
    card, load = vggish.resolve_embedder("vggish.audioset_f32", dict.fromkeys(options.split(","), True))
    embedder = load("cpu", {vggish.NETWORK.name: path, vggish.PCA.name: path})
    embeddings = np.random.RandomState(13).standard_normal((5, 128)).astype(np.float32)
    rows, projection = embedder.postprocess(Output(embeddings)), pca.read(path)
    assert embedder.card == card
    assert rows.dtype == np.float32
    if options == "pca":
        assert card.name == "vggish.audioset_f32[pca]"
        assert np.array_equal(rows, projection.clipped(embeddings))
    else:
        assert card.name == "vggish.audioset_f32[pca,8bit]"
        assert np.array_equal(rows, projection.eight_bit(embeddings))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"8bit": True}, "8bit"), ({"pca": "3"}, "pca=3"), ({"pca": True, "relu": True}, "pca,relu"), ({"x": "y"}, "x=y")],
)
def test_unknown_options_are_named_beside_those_that_exist(options, text):
    with pytest.raises(UnknownModel) as error:
        vggish.resolve_embedder("vggish.audioset_f32", options)
    assert str(error.value) == (
        f"vggish.audioset_f32[{text}]: expected options pca, or pca and 8bit, got {text!r}; "
        "use vggish.audioset_f32[pca] or vggish.audioset_f32[pca,8bit], or no options"
    )


def test_other_names_are_left_to_other_plugins():
    assert vggish.resolve_embedder("resnet18.tv_in1k", {"pca": True}) is None


def test_a_network_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "vggish.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(
        SightsoundError, match=r"features\.0\.weight: expected \(64, 1, 3, 3\), got \(64, 3, 3, 3\); take"
    ):
        read(path)
    torch.save({}, path)
    with pytest.raises(SightsoundError, match=r"features\.0\.weight: expected \(64, 1, 3, 3\), got none"):
        read(path)
    assert len(SHAPES) == 9


def test_a_pca_file_with_pickles_or_other_arrays_is_refused(tmp_path):
    path = tmp_path / "pca.npz"
    np.savez(path, pca_eigen_vectors=np.array([{}], object), pca_means=np.zeros(128))
    with pytest.raises(SightsoundError, match=r"pca\.npz: expected pca_eigen_vectors \(128, 128\).*got: Object arrays"):
        pca.read(path)
    np.savez(path, pca_eigen_vectors=np.eye(3), pca_means=np.zeros(3))
    with pytest.raises(SightsoundError, match=r"got: \(3, 3\) and \(3,\); take vggish_pca_params\.npz"):
        pca.read(path)
