"""TFLite files become models: YAMNet's, and small ones that TensorFlow makes."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from sightsound import Host, MissingWeights, ModelSettings, SightsoundError, import_model
from sightsound.testing import check_model

interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT (pip install ai-edge-litert)")

CLASSES = ("a", "b", "c")


def by_litert(file, array, *names):
    """What LiteRT's own kernels give for tensors by name, for one input."""
    found = interpreter.Interpreter(
        model_path=str(file),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    found.allocate_tensors()
    found.set_tensor(found.get_input_details()[0]["index"], array)
    found.invoke()
    places = {each["name"]: each["index"] for each in found.get_tensor_details()}
    return [found.get_tensor(places[name]) for name in names]


def failures(host, name):
    return [(each.check, each.reason) for each in check_model(name, host=host) if each.status == "failed"]


@pytest.fixture(scope="module")
def yamnet():
    """The file of the int8 YAMNet, which sightsound-audioset finds."""
    pytest.importorskip("sightsound_audioset", reason="needs sightsound-audioset, which knows the file")
    host = Host(installed=False)
    host.register(importlib.import_module("sightsound_audioset.yamnet"), "yamnet")
    (file,) = host.cards["yamnet.audioset_i8"].weights
    try:
        return host.weights.get(file, model="yamnet.audioset_i8", plugin="yamnet").path
    except MissingWeights as error:
        pytest.skip(f"needs weights: {error}")


def test_yamnet_takes_its_own_waveform(yamnet, host):
    labels = tuple(f"class {number}" for number in range(521))
    card = import_model(yamnet, ModelSettings(name="net", rate=16_000, labels=labels, scores="sigmoid"), host=host)
    assert (card.dim, card.window, card.constants["batch"]) == (1024, 15_600, 0)
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 15_600).astype(np.float32)
    _, rows, scores = host.load("net").rows(samples)
    names = [card.constants["embedding"], card.constants["output"]]
    maps, expected = by_litert(yamnet, samples, *names)
    np.testing.assert_array_equal(scores, expected)
    details = interpreter.Interpreter(model_path=str(yamnet)).get_tensor_details()
    scale, zero = next(each["quantization"] for each in details if each["name"] == names[0])
    np.testing.assert_allclose(rows[0], (maps.reshape(-1) - float(zero)) * scale, rtol=1e-5)


def test_yamnet_conforms(yamnet, host):
    labels = tuple(map(str, range(521)))
    with pytest.raises(SightsoundError, match=r"net: scores: expected a sum of 1, got .*; give --scores sigmoid"):
        import_model(yamnet, ModelSettings(name="net", rate=16_000, labels=labels), host=host)
    import_model(yamnet, ModelSettings(name="net", rate=16_000, labels=labels, scores="sigmoid"), host=host)
    assert failures(host, "net") == []


def test_without_a_rate_it_is_refused(yamnet, host):
    with pytest.raises(SightsoundError, match=r"net: input: expected 3 or 4 axes for an image, got shape 15600;"):
        import_model(yamnet, ModelSettings(name="net"), host=host)


def test_an_unknown_tensor_gets_the_nearest_name(yamnet, host):
    with pytest.raises(SightsoundError, match=r"did you mean 'tower0/network/layer28/reduce_mean'"):
        import_model(yamnet, ModelSettings(name="net", rate=16_000, embedding="layer28/reduce_mean"), host=host)


@pytest.mark.parametrize("length", [0, 4, 100, 100_000, 3_000_000])
def test_a_truncated_file(yamnet, host, tmp_path, length):
    (tmp_path / "cut.tflite").write_bytes(yamnet.read_bytes()[:length])
    with pytest.raises(SightsoundError, match=r"cut.tflite: (expected a TFLite file|LiteRT cannot load it)"):
        import_model(tmp_path / "cut.tflite", ModelSettings(name="net", rate=16_000), host=host)


# -- networks that TensorFlow makes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """`converted(kind)`: a seeded classifier of images of 16 x 16 pixels, as float32 or in whole numbers."""
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow, which makes the files")
    random = np.random.default_rng(0)
    kernel, head = (random.normal(size=shape).astype(np.float32) for shape in ((3, 3, 3, 8), (8, 3)))

    class Module(tensorflow.Module):
        @tensorflow.function(input_signature=[tensorflow.TensorSpec([1, 16, 16, 3], tensorflow.float32)])
        def __call__(self, images):
            maps = tensorflow.nn.relu(tensorflow.nn.conv2d(images, kernel, 2, "SAME"), name="maps")
            pooled = tensorflow.reduce_mean(maps, axis=[1, 2], name="pooled")
            return tensorflow.nn.softmax(tensorflow.matmul(pooled, head), name="scores")

    module = Module()

    def convert(kind):
        found = module.__call__.get_concrete_function()
        converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([found], module)
        if kind == "int8":
            samples = [[random.uniform(0, 1, (1, 16, 16, 3)).astype(np.float32)] for _ in range(20)]
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: samples
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tensorflow.uint8
        file = tmp_path_factory.mktemp("made") / f"{kind}.tflite"
        file.write_bytes(converter.convert())
        return file

    return convert


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_network_of_tensorflow(converted, host, kind):
    file = converted(kind)
    card = import_model(file, ModelSettings(name="net", labels=CLASSES), host=host)
    assert (card.dim, card.input_shape, card.constants["layout"]) == (8, (16, 16, 3), "nhwc")
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    _, rows, scores = host.load("net").rows(image)
    given = image[None] if kind == "int8" else image[None] / np.float32(255)
    (expected,) = by_litert(file, given, card.constants["output"])
    np.testing.assert_allclose(scores, expected / (256 if kind == "int8" else 1), atol=0.01 if kind == "int8" else 1e-5)
    assert rows.shape == (1, 8) and rows.std() > 0
    rounded = ["scores_in_range"] if kind == "int8" else []  # the sum of rounded scores is not exactly 1
    assert [check for check, _ in failures(host, "net")] == rounded
