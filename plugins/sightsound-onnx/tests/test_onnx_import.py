"""ONNX files become models: which tensors are the rows, what ONNX Runtime itself gives, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from sightsound import ModelSettings, SightsoundError, classify_image, import_model
from sightsound.testing import check_model

CLASSES = ("a", "b", "c")


def settings(**more):
    return ModelSettings(name="net", **more)


def image(seed=1, side=32):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def by_runtime(file, inputs, *inner):
    """What ONNX Runtime gives for outputs and inner tensors of a file."""
    model = onnx.load(file)
    there = {each.name for each in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in there)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(inner), {session.get_inputs()[0].name: inputs})


def planes(pixels, mean=0.5, std=0.25):
    return ((pixels.transpose(2, 0, 1)[None] / np.float32(255) - np.float32(mean)) / np.float32(std)).astype(np.float32)


def test_a_classifier_gives_what_enters_its_head_and_its_scores(tmp_path, host, image_network):
    file = image_network(tmp_path / "net.onnx")
    card = import_model(file, settings(labels=CLASSES, mean=(0.5,), std=(0.25,)), host=host)
    assert (card.dim, card.input_shape, card.scores, card.params) == (8, (3, 32, 32), "softmax", 8 * 27 + 8 + 24 + 3)
    assert card.constants["embedding"] == "pooled"
    _, rows, scores = host.load("net").rows(image())
    expected = by_runtime(file, planes(image()), "pooled", "scores")
    np.testing.assert_allclose(rows, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5, atol=1e-6)


def test_without_labels_the_output_is_the_embedding(tmp_path, host, image_network):
    file = image_network(tmp_path / "net.onnx")
    card = import_model(file, settings(), host=host)
    assert (card.dim, card.classes, card.constants["embedding"]) == (3, None, "scores")


@pytest.mark.parametrize(("embedding", "axes"), [("maps", (2, 3)), ("pooled", ()), ("pooled_maps", (2, 3))])
def test_an_inner_tensor_is_averaged_over_space(tmp_path, host, image_network, embedding, axes):
    file = image_network(tmp_path / "net.onnx")
    card = import_model(file, settings(embedding=embedding), host=host)
    assert (card.dim, card.constants["embedding_mean"]) == (8, axes)
    (expected,) = by_runtime(file, planes(image(), 0, 1), embedding)
    found = host.load("net").rows(image())[1]
    np.testing.assert_allclose(found, expected.mean(axis=axes) if axes else expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("order", "axes"), [([0, 2, 3, 1], (1, 2)), (None, (2, 3))])
def test_channels_are_where_the_operators_put_them(tmp_path, host, nodes, order, axes):
    """Also where the shape does not tell, as 8 channels of 8 x 8 positions do not."""
    found = nodes(0)
    name = found.add("Conv", ["input", found.weight("kernel", 8, 3, 1, 1)], "maps")
    if order:
        name = found.add("Transpose", [name], "moved", perm=order)
    found.add("Relu", [name], "output")
    file = found.write(tmp_path / "net.onnx", [("input", ["n", 3, 8, 8])], [("output", ["n", 8, 8, 8])])
    card = import_model(file, settings(), host=host)
    assert card.constants["embedding_mean"] == axes
    (expected,) = by_runtime(file, planes(image(side=8), 0, 1), "output")
    np.testing.assert_allclose(host.load("net").rows(image(side=8))[1], expected.mean(axis=axes), rtol=1e-4, atol=1e-6)


def test_rows_of_a_sequence(tmp_path, host, nodes):
    """(n, channels, time) of a convolution is averaged over time, (n, tokens, d) of a linear layer over tokens."""
    found = nodes(0)
    found.add("Unsqueeze", ["samples", "axis"], "waves")
    found.weights.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
    found.add("Conv", ["waves", found.weight("filters", 6, 1, 40)], "bands", strides=[20])
    found.add("Transpose", ["bands"], "frames", perm=[0, 2, 1])
    found.add("MatMul", ["frames", found.weight("mix", 6, 5)], "tokens")
    file = found.write(tmp_path / "net.onnx", [("samples", ["n", 400])], [("tokens", ["n", 19, 5])])
    found = {}
    for name in ("bands", "frames", "tokens"):
        card = import_model(file, settings(embedding=name, rate=1000), replace=True, host=host)
        found[name] = (card.dim, card.constants["embedding_mean"])
    assert found == {"bands": (6, (2,)), "frames": (6, (1,)), "tokens": (5, (1,))}


def test_logits_become_probabilities(tmp_path, host, image_network):
    file = image_network(tmp_path / "net.onnx", last="Identity")
    with pytest.raises(SightsoundError, match="net: scores: expected probabilities .*; give --logits"):
        import_model(file, settings(labels=CLASSES), host=host)
    import_model(file, settings(labels=CLASSES, logits=True), host=host)
    (logits,) = by_runtime(file, planes(image(), 0, 1), "logits")
    softmax = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(host.load("net").rows(image())[2], softmax, rtol=1e-5)
    import_model(file, settings(labels=CLASSES, logits=True, scores="sigmoid"), replace=True, host=host)
    np.testing.assert_allclose(host.load("net").rows(image())[2], 1 / (1 + np.exp(-logits)), rtol=1e-5)


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_any_number_of_inputs_and_fixed_numbers_of_them(tmp_path, host, image_network, batch):
    file = image_network(tmp_path / "net.onnx", batch=batch)
    card = import_model(file, settings(labels=CLASSES), host=host)
    assert card.constants["batch"] == (None if batch == "n" else batch)
    model = host.load("net")
    inputs = np.concatenate([planes(image(seed), 0, 1) for seed in range(6)])
    together = model.embed(inputs)
    alone = [model.embed(each[None]) for each in inputs]
    np.testing.assert_allclose(together.embeddings, np.concatenate([each.embeddings for each in alone]), rtol=1e-5)
    np.testing.assert_allclose(together.scores, np.concatenate([each.scores for each in alone]), rtol=1e-5)


def test_a_network_that_mixes_the_inputs_of_a_batch_gets_them_one_by_one(tmp_path, host, nodes):
    """As networks with dynamic quantisation do, whose scale is that of the whole batch."""
    found = nodes(0)
    found.add("ReduceMax", ["input"], "maximum", keepdims=1)
    found.add("Add", ["maximum", found.weight("one", 1)], "largest")
    found.add("Div", ["input", "largest"], "scaled")
    found.add("GlobalAveragePool", ["scaled"], "pooled")
    file = found.write(tmp_path / "net.onnx", [("input", ["n", 3, 8, 8])], [("pooled", ["n", 3, 1, 1])])
    assert import_model(file, settings(), host=host).constants["batch"] == 1
    assert check_failures(host) == []


def test_channels_last(tmp_path, host, image_network):
    first = image_network(tmp_path / "first.onnx")
    last = image_network(tmp_path / "last.onnx", channels_last=True)
    assert import_model(first, settings(labels=CLASSES), host=host).constants["layout"] == "nchw"
    rows = host.load("net").rows(image())[1]
    card = import_model(last, settings(labels=CLASSES), replace=True, host=host)
    assert (card.constants["layout"], card.input_shape) == ("nhwc", (32, 32, 3))
    np.testing.assert_allclose(host.load("net").rows(image())[1], rows, rtol=1e-5, atol=1e-6)


def test_pixels_as_whole_numbers(tmp_path, host, image_network):
    file = image_network(tmp_path / "net.onnx", dtype=TensorProto.UINT8)
    card = import_model(file, settings(labels=CLASSES), host=host)
    assert (card.constants["input_dtype"], card.constants["scale"]) == ("uint8", 1.0)
    (expected,) = by_runtime(file, image().transpose(2, 0, 1)[None], "pooled")
    np.testing.assert_allclose(host.load("net").rows(image())[1], expected, rtol=1e-5)


def test_a_network_for_any_size_needs_one(tmp_path, host, image_network):
    file = image_network(tmp_path / "net.onnx", side="side")
    with pytest.raises(SightsoundError, match=r"^net: size: the network takes any, \?x3x\?x\?; give --size$"):
        import_model(file, settings(), host=host)
    assert import_model(file, settings(size=(20, 24)), host=host).input_shape == (3, 20, 24)


@pytest.mark.parametrize("shape", [["n", "samples"], ["n", 1, "samples"], ["samples"], [1, 400], [1, 1, 400]])
def test_sound_of_any_shape(tmp_path, host, nodes, shape):
    found = nodes(0)
    found.weights.append(onnx.numpy_helper.from_array(np.array([-1, 1, 400]), "waves"))
    found.add("Reshape", ["samples", "waves"], "shaped")
    found.add("Conv", ["shaped", found.weight("filters", 6, 1, 40)], "bands", strides=[20])
    found.add("Abs", ["bands"], "levels")
    found.add("GlobalAveragePool", ["levels"], "pooled")
    file = found.write(tmp_path / "net.onnx", [("samples", shape)], [("pooled", None)])
    card = import_model(file, settings(rate=1000, window=0.4, hop=0.2), host=host)
    assert (card.sample_rate, card.window, card.hop, card.dim) == (1000, 400, 200, 6)
    samples = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    spans, rows, _ = host.load("net").rows(samples)
    assert spans.tolist() == [[0, 0.4], [0.2, 0.6], [0.4, 0.8], [0.6, 1.0]]
    for start, row in zip((0, 200, 400, 600), rows):
        window = samples[start : start + 400].reshape([1] * (len(shape) - 1) + [400])
        (expected,) = by_runtime(file, window, "pooled")
        np.testing.assert_allclose(row, expected.reshape(-1), rtol=1e-4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"embedding": "poold"},
            r"net: embedding: expected a tensor of the network, got 'poold'; did you mean 'pooled'",
        ),
        ({"embedding": "xyz"}, r"net: embedding: expected a tensor .*, got 'xyz'; the outputs are scores$"),
        ({"output": "score", "labels": CLASSES}, r"net: output: expected a tensor .*; did you mean 'scores'"),
        ({"labels": ("a", "b")}, r"net: labels: expected 3, one for each number of the output scores, got 2"),
        ({"size": (31, 31)}, r"net: size: expected 32x32, got 31x31"),
        ({"input": "x"}, r"net: input: expected input, got x; see --input"),
        ({"channels": "gray"}, r"net: channels: expected 3, got gray"),
        ({"layout": "nhwc"}, r"net: input: expected 1 or 3 channels, got 32 in the shape \?x3x32x32 \(nhwc\)"),
        ({"rate": 16_000}, r"net: input: expected samples of sound, got shape \?x3x32x32"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(tmp_path, host, image_network, more, message):
    file = image_network(tmp_path / "net.onnx")
    with pytest.raises(SightsoundError, match=message):
        import_model(file, settings(**more), host=host)


def test_what_the_file_says_fills_what_the_user_does_not_say(tmp_path, host, image_network):
    stated = {"labels": list(CLASSES), "mean": [0.5, 0.5, 0.5], "embedding": "maps", "about": "of the file"}
    file = image_network(tmp_path / "net.onnx", metadata={"sightsound": json.dumps(stated)})
    card = import_model(file, settings(embedding="pooled"), host=host)
    assert (card.labels, card.constants["mean"], card.about) == (CLASSES, (0.5, 0.5, 0.5), "of the file")
    assert card.constants["embedding"] == "pooled"
    bad = image_network(tmp_path / "bad.onnx", metadata={"sightsound": '{"sizes": 3}'})
    with pytest.raises(SightsoundError, match="settings: expected some of name, .*, got sizes"):
        import_model(bad, settings(), replace=True, host=host)


def test_the_same_network_twice_has_the_same_space(tmp_path, host, image_network):
    import_model(image_network(tmp_path / "net.onnx"), settings(labels=CLASSES), host=host)
    space = host.space("net")
    import_model(image_network(tmp_path / "again.onnx"), settings(labels=CLASSES), replace=True, host=host)
    assert host.space("net") == space
    import_model(image_network(tmp_path / "other.onnx", seed=1), settings(labels=CLASSES), replace=True, host=host)
    assert host.space("net") != space


def check_failures(host):
    return [(each.check, each.reason) for each in check_model("net", host=host) if each.status == "failed"]


def test_an_imported_network_conforms(tmp_path, host, image_network):
    import_model(image_network(tmp_path / "net.onnx"), settings(labels=CLASSES), host=host)
    assert check_failures(host) == []


def test_it_classifies_images(tmp_path, host, image_network):
    import_model(image_network(tmp_path / "net.onnx"), settings(labels=CLASSES), host=host)
    from PIL import Image

    Image.fromarray(image()).save(tmp_path / "a.png")
    assert sorted(each.label for each in classify_image(tmp_path / "a.png", "net", host=host).top) == ["a", "b", "c"]


# -- files that are refused --------------------------------------------------------------------------------------------


def refusal(file, host, **more):
    with pytest.raises(SightsoundError) as caught:
        import_model(file, settings(**more), host=host)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x00" * 100, b"\x08\x08"])
def test_a_file_of_another_kind(tmp_path, host, content):
    (tmp_path / "net.onnx").write_bytes(content)
    assert "net.onnx: expected an ONNX file" in refusal(tmp_path / "net.onnx", host)


def test_every_truncated_file_is_refused_in_one_line(tmp_path, host, models, image_network):
    whole = image_network(tmp_path / "net.onnx").read_bytes()
    for length in range(1, len(whole), 97):
        (tmp_path / "cut.onnx").write_bytes(whole[:length])
        assert "cut.onnx: " in refusal(tmp_path / "cut.onnx", host)
    assert not models.exists() or not list(models.iterdir())


def test_an_opset_that_the_runtime_does_not_have(tmp_path, host, image_network):
    file = image_network(tmp_path / "net.onnx", opset=200)
    message = refusal(file, host)
    assert f"net.onnx: ONNX Runtime {onnxruntime.__version__} cannot load it" in message
    assert "200" in message


def test_an_operator_of_a_library(tmp_path, host, nodes):
    found = nodes(0)
    found.nodes.append(helper.make_node("Evil", ["input"], ["output"], domain="acme"))
    file = found.write(tmp_path / "net.onnx", [("input", ["n", 3, 8, 8])], [("output", ["n", 3])])
    assert "expected operators of ONNX, got acme::Evil" in refusal(file, host)


@pytest.mark.parametrize("place", ["weights.bin", "../../etc/passwd", "/etc/passwd"])
def test_numbers_in_another_file(tmp_path, host, image_network, place):
    model = onnx.load(image_network(tmp_path / "net.onnx"))
    (tmp_path / "weights.bin").write_bytes(bytes(10_000))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    message = refusal(tmp_path / "net.onnx", host)
    assert "expected all numbers in the file, got tensor 'kernel' in another; write it as one" in message


def test_numbers_in_another_file_inside_of_a_node(tmp_path, host, image_network):
    model = onnx.load(image_network(tmp_path / "net.onnx"))
    hidden = TensorProto(name="hidden", dims=[1], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="/etc/passwd")
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=hidden)],
        "inner",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
    )
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    model.graph.node.extend([yes, helper.make_node("If", ["yes"], ["d"], then_branch=inner, else_branch=inner)])
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert "got tensor 'hidden' in another" in refusal(tmp_path / "net.onnx", host)


def test_several_inputs(tmp_path, host, nodes):
    found = nodes(0)
    found.add("Add", ["left", "right"], "sum")
    shape = ["n", 3, 8, 8]
    file = found.write(tmp_path / "net.onnx", [("left", shape), ("right", shape)], [("sum", shape)])
    assert "net: input: expected a network with one, got left, right" in refusal(file, host)


def test_a_network_without_an_output(tmp_path, host):
    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph([helper.make_node("Relu", ["pixels"], ["unused"])], "none", [given], [])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    for more in ({}, {"labels": CLASSES}):
        with pytest.raises(SightsoundError, match="with an output, got none; export it again|cannot be read") as raised:
            import_model(tmp_path / "net.onnx", settings(**more), host=host)
        assert "\n" not in str(raised.value) and "one of ;" not in str(raised.value)


def test_no_linear_layer_before_the_scores(tmp_path, host, nodes):
    found = nodes(0)
    found.add("GlobalAveragePool", ["input"], "pooled")
    found.add("Flatten", ["pooled"], "scores")
    file = found.write(tmp_path / "net.onnx", [("input", ["n", 3, 8, 8])], [("scores", ["n", 3])])
    message = refusal(file, host, labels=CLASSES)
    assert "embedding: expected an inner tensor, since no linear layer is before the scores; give --emb" in message
