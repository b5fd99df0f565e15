"""OpenCLIP's own files: damaged ones and those of others are refused in one line; the command line uses the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from command_line import in_this_process
from seeded_clip import SMALL, logits_of, saved, seeded, texts_of, write_config
from sightsound import Host, Model, SightsoundError, import_model
from sightsound.plugin import ModelSettings

SETTINGS = ModelSettings(name="small_clip")


def changed(**changes: Any) -> dict[str, Any]:
    return {**SMALL, **changes}


def cut(net: Any, path: Path) -> Path:
    whole = saved(net, path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def without(net: Any, path: Path, prefix: str) -> Path:
    torch.save({key: value for key, value in net.state_dict().items() if not key.startswith(prefix)}, path)
    return path


def scripted(net: Any, path: Path) -> Path:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))
    return path


def pickled(net: Any, path: Path) -> Path:
    torch.save({"net": Path("x")}, path)
    return path


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda net, path: cut(net, path / "net.safetensors"), "expected tensors"),
        (lambda net, path: cut(net, path / "net.pt"), "expected tensors"),
        (lambda net, path: scripted(net, path / "net.pt"), "expected tensors.*got: a program of TorchScript"),
        (lambda net, path: pickled(net, path / "net.pt"), "expected tensors"),
        (lambda net, path: without(net, path / "net.pt", "visual.ln_post"), "expected a tensor ln_post.weight"),
        (lambda net, path: without(net, path / "net.pt", "visual."), "expected a tensor class_embedding, got none"),
    ],
    ids=["cut safetensors", "cut torch", "script", "pickle", "lacks a tensor", "lacks a part"],
)
def test_a_wrong_file_is_refused_in_one_line_and_nothing_is_kept(
    write: Callable[[Any, Path], Path], message: str, tmp_path: Path, host: Host, own_models: Path
) -> None:
    files = [write(seeded(), tmp_path), write_config(tmp_path / "open_clip_config.json")]
    with pytest.raises(SightsoundError, match=message) as caught:
        import_model(files, SETTINGS, host=host)
    assert "\n" not in str(caught.value)
    assert not list(own_models.glob("*"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "expected JSON with model_cfg and preprocess_cfg of open_clip, got JSONDecodeError"),
        ("[1]", "expected JSON with model_cfg"),
        ("{}", "expected JSON with model_cfg"),
        ({"model_cfg": {"embed_dim": 24}}, "expected JSON with model_cfg"),
        ({"model_cfg": changed(embed_dim="x")}, "configuration: expected embed_dim"),
        ({"model_cfg": changed(embed_dim=25)}, r"proj: expected shape \(64, 25\), got \(64, 24\)"),
        ({"model_cfg": changed(vision_cfg={"no_such": 1})}, "configuration: expected one that open_clip builds"),
        ({"model_cfg": changed(vision_cfg={"timm_model_name": "hf-hub:a/b"})}, "expected a network that timm has"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"resize_mode": "longest"}}, "resize_mode: expected 'shortest'"),
        (
            {"model_cfg": SMALL, "preprocess_cfg": {"mean": "x"}},
            "preprocess_cfg: expected three numbers as mean, got 'x'",
        ),
        ({"model_cfg": SMALL, "preprocess_cfg": {"mean": [0.5, 0.5]}}, "preprocess_cfg: expected"),
        ({"model_cfg": SMALL, "preprocess_cfg": {"std": [0.5, 0.5, 0]}}, "preprocess_cfg: expected std other than 0"),
        ({"model_cfg": SMALL, "preprocess_cfg": []}, "preprocess_cfg"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(
    config: Any, message: str, tmp_path: Path, host: Host, own_models: Path
) -> None:
    file = tmp_path / "open_clip_config.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(SightsoundError, match=message) as caught:
        import_model([saved(seeded(), tmp_path / "net.safetensors"), file], SETTINGS, host=host)
    assert "\n" not in str(caught.value)
    assert not list(own_models.glob("*"))


def test_weights_without_a_configuration_are_refused(tmp_path: Path, host: Host) -> None:
    with pytest.raises(SightsoundError, match=r"expected open_clip_config\.json beside the weights, got no JSON file"):
        import_model(saved(seeded(), tmp_path / "net.safetensors"), SETTINGS, host=host)


def test_a_file_without_words_embeds_images_and_says_what_it_lacks(
    imported: Callable[..., Model], host: Host, tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    file = without(seeded(), tmp_path / "net.pt", "token_embedding")
    import_model([file, write_config(tmp_path / "config.json")], SETTINGS, host=host)
    model = host.load("small_clip", device="cpu")
    assert model.rows(pictures[0])[1].shape == (1, 24)
    with pytest.raises(SightsoundError, match=r"text: expected a tensor token_embedding\.weight"):
        model.text(["a dog"])


def test_a_checkpoint_of_training_and_half_precision_are_taken(
    imported: Callable[..., Model], host: Host, tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    net = seeded()
    state = {f"module.{key}": value.half() for key, value in net.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "epoch_3.pt")
    import_model([tmp_path / "epoch_3.pt", write_config(tmp_path / "config.json")], SETTINGS, host=host)
    model = host.load("small_clip", device="cpu")
    inputs = model.preprocess(pictures[0]).inputs
    with torch.inference_mode():
        known = net.half().float().encode_image(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(model.embed(inputs).embeddings, known, atol=1e-5)


def test_other_files_or_another_transform_make_another_space(imported: Callable[..., Model]) -> None:
    fingerprints = {
        imported(seeded()).space.fingerprint,
        imported(seeded()).space.fingerprint,
        imported(seeded(seed=1)).space.fingerprint,
        imported(seeded(), resize_mode="squash").space.fingerprint,
    }
    assert len(fingerprints) == 3


def test_the_command_line_indexes_searches_by_words_and_tags_by_classes(
    tmp_path: Path, pictures: list[NDArray[np.uint8]]
) -> None:
    net = seeded()
    files = [saved(net, tmp_path / "net.safetensors"), write_config(tmp_path / "open_clip_config.json")]
    folder, library = tmp_path / "photos", tmp_path / "lib"
    folder.mkdir()
    for i, picture in enumerate(pictures[:4]):
        Image.fromarray(picture).save(folder / f"{i}.png")

    def run(*words: Any) -> str:
        done = in_this_process([*map(str, words)], [], b"")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("import-model", *files, "--name", "small_clip")
    run("index", folder, "-l", library, "-m", "small_clip")
    hits = json.loads(run("search", "--text", "a dog", "-l", library, "-k", 4, "--json"))
    rows = [_inputs(picture) for picture in pictures[:4]]
    with torch.inference_mode():
        images = net.encode_image(torch.from_numpy(np.concatenate(rows)), normalize=True).numpy()
    text = texts_of(net, ["a dog"])[0]
    cosines = images @ (text / np.linalg.norm(text))
    assert [hit["path"] for hit in hits] == [f"{i}.png" for i in np.argsort(-cosines)]
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)

    (tmp_path / "labels.txt").write_text("dog\na red car\nrain\n")
    words = ("--classes", tmp_path / "labels.txt", "--template", "a drawing of a {}", "--json", "-k", 3)
    logits = logits_of(net, np.concatenate(rows), [f"a drawing of a {each}" for each in ("dog", "a red car", "rain")])
    known = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for given in ((folder, "-m", "small_clip"), ("--library", library)):
        for i, tags in enumerate(sorted(json.loads(run("tag", *given, *words)), key=lambda tags: tags["path"])):
            scores = {each["label"]: each["score"] for each in tags["top"]}
            assert [scores[each] for each in ("dog", "a red car", "rain")] == pytest.approx(known[i], abs=1e-4)


def _inputs(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    from sightsound.plugin import CenterCrop
    from sightsound_clip.cards import card_of

    return CenterCrop(card_of("small", SMALL, {}).constants)(picture)
