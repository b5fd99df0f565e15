"""The numbers of OpenCLIP: pictures, texts, logits and preprocessing are those of open_clip itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from seeded_clip import SMALL, logits_of, open_clip, seeded, texts_of
from sightsound import Host, Model, SightsoundError, classify_image
from sightsound.plugin import CenterCrop
from sightsound.testing import check_model
from sightsound.testing.media import TEXTS
from sightsound_clip.cards import card_of

NAMES = ["dog", "a red car", "rain", "sea"]


def variant(**changes: Any) -> dict[str, Any]:
    return {**SMALL, **changes}


CONFIGS = {
    "vit": (SMALL, "CLIP"),
    "quick_gelu": (variant(quick_gelu=True), "CLIP"),
    "own text part": (variant(), "CustomTextCLIP"),
    "linear projection": (variant(text_cfg={**SMALL["text_cfg"], "proj_bias": True}), "CustomTextCLIP"),
    "no causal mask": (variant(text_cfg={**SMALL["text_cfg"], "no_causal_mask": True}), "CustomTextCLIP"),
    "resnet": (variant(vision_cfg={"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32}), "CLIP"),
    "timm": (
        variant(vision_cfg={"timm_model_name": "test_vit", "image_size": 160, "timm_pool": "", "timm_proj": "linear"}),
        "CLIP",
    ),
}


@pytest.mark.parametrize(("kind", "suffix"), [*((kind, ".safetensors") for kind in CONFIGS), ("vit", ".pt")])
def test_rows_texts_and_logits_are_those_of_open_clip(
    kind: str, suffix: str, imported: Callable[..., Model], pictures: list[NDArray[np.uint8]]
) -> None:
    config, cls = CONFIGS[kind]
    net = seeded(config, kind=cls)
    model = imported(net, config, suffix=suffix)
    inputs = np.concatenate([model.preprocess(picture).inputs for picture in pictures])
    rows = model.postprocess(model.embed(inputs))
    with torch.inference_mode():
        known = net.encode_image(torch.from_numpy(inputs)).numpy()
    assert np.abs(known).max() > 1e-2
    np.testing.assert_allclose(rows, known, atol=1e-5, rtol=1e-5)

    words = model.text(NAMES)
    np.testing.assert_allclose(words, texts_of(net, NAMES), atol=1e-5, rtol=1e-5)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, words)]
    scale = model.embedder.logit_scale()  # type: ignore[attr-defined]
    assert scale == pytest.approx(14.5)
    np.testing.assert_allclose(scale * unit[0] @ unit[1].T, logits_of(net, inputs, NAMES), atol=1e-5, rtol=0)


def test_coca_is_taken_without_its_decoder(imported: Callable[..., Model], pictures: list[NDArray[np.uint8]]) -> None:
    vision = {**SMALL["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {**SMALL["text_cfg"], "embed_cls": True, "output_tokens": True}
    decoder = {**SMALL["text_cfg"], "layers": 1}
    config = variant(vision_cfg=vision, text_cfg=text, multimodal_cfg=decoder)
    torch.manual_seed(0)
    net = open_clip.CoCa(**config).eval()
    model = imported(net, config)
    inputs = np.concatenate([model.preprocess(picture).inputs for picture in pictures])
    tokens = open_clip.SimpleTokenizer(context_length=20)(NAMES)
    with torch.inference_mode():
        images = net.encode_image(torch.from_numpy(inputs), normalize=False).numpy()
        words = net.encode_text(tokens, normalize=False).numpy()
    np.testing.assert_allclose(model.embed(inputs).embeddings, images, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(model.text(NAMES), words, atol=1e-5, rtol=1e-5)


def test_a_text_part_with_another_tokenizer_is_left_out(
    imported: Callable[..., Model], pictures: list[NDArray[np.uint8]]
) -> None:
    config = variant(text_cfg={**SMALL["text_cfg"], "hf_tokenizer_name": "bert-base-uncased"})
    model = imported(seeded(), config)
    assert not model.card.text and not hasattr(model.embedder, "text")
    assert model.rows(pictures[0])[1].shape == (1, 24)
    with pytest.raises(SightsoundError, match="small_clip: takes no text"):
        model.text(["a dog"])


def test_rows_are_not_scaled_to_length_1(imported: Callable[..., Model], pictures: list[NDArray[np.uint8]]) -> None:
    model = imported(seeded())
    lengths = [np.linalg.norm(model.rows(picture)[1]) for picture in pictures[:3]]
    assert max(abs(length - 1) for length in lengths) > 0.1


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mean_and_std", [{}, {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}])
def test_preprocessing_is_that_of_open_clip_bit_by_bit(
    mode: str, interpolation: str, mean_and_std: dict[str, Any], pictures: list[NDArray[np.uint8]]
) -> None:
    given = {"resize_mode": mode, "interpolation": interpolation, **mean_and_std}
    config = open_clip.transform.PreprocessCfg(size=32, **given)
    known = open_clip.transform.image_transform_v2(config, is_train=False)
    crop = CenterCrop(card_of("small", SMALL, given).constants)
    for picture in pictures:
        np.testing.assert_array_equal(crop(picture)[0], known(Image.fromarray(picture)).numpy())


def test_classes_in_words_have_open_clips_probabilities(
    imported: Callable[..., Model], host: Host, pictures: list[NDArray[np.uint8]]
) -> None:
    net = seeded()
    model = imported(net)
    found = classify_image(pictures[0], model=model, classes=NAMES, k=4, host=host)
    texts = [f"a photo of a {name}." for name in NAMES]
    logits = logits_of(net, model.preprocess(pictures[0]).inputs, texts).astype(np.float64)[0]
    known = np.exp(logits - logits.max())
    known /= known.sum()
    assert {each.label: each.score for each in found.top} == pytest.approx(dict(zip(NAMES, known)), abs=1e-5)


def test_a_text_longer_than_the_context_is_cut_as_open_clip_does(imported: Callable[..., Model]) -> None:
    net = seeded()
    texts = ["word " * 300, "", "狗 Ж 🐕", *TEXTS]
    np.testing.assert_allclose(imported(net).text(texts), texts_of(net, texts), atol=1e-5, rtol=1e-5)
    assert imported(net).text([]).shape == (0, 24)


def test_indexing_builds_no_text_part_and_words_no_image_part(
    imported: Callable[..., Model], monkeypatch: pytest.MonkeyPatch, pictures: list[NDArray[np.uint8]]
) -> None:
    from sightsound_clip import towers

    def refused(*args: object) -> None:
        raise AssertionError("built")

    net = seeded()
    with monkeypatch.context() as patch:
        patch.setattr(towers._model, "_build_text_tower", refused)
        model = imported(net)
        assert model.rows(pictures[0])[1].shape == (1, 24)
    with monkeypatch.context() as patch:
        patch.setattr(towers._model, "_build_vision_tower", refused)
        embedder: Any = type(model.embedder)(
            model.card,
            model.embedder._file,
            "cpu",
            model.embedder._config,  # type: ignore[attr-defined]
        )
        assert embedder.text(["a dog"]).shape == (1, 24)


def test_the_kit(imported: Callable[..., Model], host: Host) -> None:
    model = imported(seeded())
    results = check_model(model.card.name, host=host)
    assert [(each.check, each.reason) for each in results if not each.passed] == []


def test_the_state_of_a_module_makes_the_same_network(
    imported: Callable[..., Model], pictures: list[NDArray[np.uint8]]
) -> None:
    model = imported(seeded())
    embedder: Any = model.embedder
    derived = embedder.derive(embedder.card, embedder.module().state_dict())
    inputs = model.preprocess(pictures[0]).inputs
    np.testing.assert_array_equal(derived.embed(inputs).embeddings, embedder.embed(inputs).embeddings)
