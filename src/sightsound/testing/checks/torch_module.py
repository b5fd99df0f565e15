"""Checks of `module()`, the trainable network of torch, and of `derive()`. Torch is imported by the plugin alone."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.classlist import ClassList
from sightsound.contract.embedder import Output
from sightsound.testing.checks.loading import require
from sightsound.testing.subject import TOLERANCE, Answer, Subject, copied, distance, row_distance, score_distance

_CLASSES = ClassList("kit", ("first", "second", "third"))


def module_gives_the_rows(subject: Subject) -> str | None:
    """Check that `module()` is a network of torch in evaluation mode whose forward pass gives the embeddings."""
    require(subject, "module")
    module = subject.module
    torch = sys.modules.get("torch")
    is_module = torch is not None and isinstance(module, torch.nn.Module)
    assert is_module, f"module(): expected a torch.nn.Module, got {type(module).__name__}; drop the method without one"
    training = [name or "the network itself" for name, each in module.named_modules() if each.training]
    assert not training, f"module(): expected evaluation mode, got training mode in {training[0]}; call .eval()"
    expected, found = _own_output(subject).embeddings, _forward(module, subject.inputs)
    assert found.shape == expected.shape, (
        f"module(): expected embeddings {expected.shape}, got {found.shape}; it returns them, or a tuple that begins "
        "with them, before `postprocess`"
    )
    far = row_distance(found, expected)
    assert far <= TOLERANCE, (
        f"module(): expected the embeddings of embed, got {far:.2g} apart; likely other weights, a step of `embed` "
        "that stands outside of the module, or another output first in its tuple"
    )
    return None


def module_is_a_trainable_copy(subject: Subject) -> str | None:
    """Check that `module()` is a new copy in each call, and gradients reach the first of its trainable parameters."""
    require(subject, "module")
    embedder: Any = subject.model.embedder
    module = embedder.module()
    expected = _own_output(subject)
    trainable = [(name, each) for name, each in module.named_parameters() if each.requires_grad]
    assert trainable, (
        "module(): expected trainable parameters, got none; likely requires_grad_(False), buffers, or weights that "
        "were loaded in inference mode"
    )
    _check_gradients(module, subject.inputs[:2], *trainable[0])
    with _torch().no_grad():
        for each in module.parameters():
            each.zero_()
    far = row_distance(_forward(subject.module, subject.inputs), expected.embeddings)
    assert far <= TOLERANCE, (
        f"module(): expected a new network in each call, got one that changes when another is trained ({far:.2g} "
        "apart); build it anew, or return copy.deepcopy(...)"
    )
    return None


def derive_gives_the_same_network(subject: Subject) -> str | None:
    """Check that `derive()` with the network's own state gives its rows, and with a state and a head theirs."""
    require(subject, "module")
    require(subject, "derive")
    embedder: Any = subject.model.embedder
    state = subject.module.state_dict()
    before = _own_output(subject)
    same = _embed(_derived(embedder, subject.card, state, None), subject.inputs)
    far = distance(_answer(same), _answer(before))
    assert far <= TOLERANCE, (
        f"derive() with the state of module(): expected the rows and scores of the network, got {far:.2g} apart; "
        "likely parts of the state that are not loaded (load with strict=True), or a head left from before"
    )
    _check_head(subject, {name: _scaled(value) for name, value in state.items()}, before)
    far = distance(_answer(_own_output(subject)), _answer(before))
    assert far <= TOLERANCE, (
        f"derive(): expected a network of its own, but that of the first embedder changed ({far:.2g} apart); copy the "
        "embedder before the state is loaded"
    )
    return None


def _check_head(subject: Subject, state: dict[str, Any], before: Output) -> None:
    """Check the rows of another state, and the scores of a linear head for them."""
    d = before.embeddings.shape[1]
    random = np.random.default_rng(4)
    weight = (random.normal(size=(3, d)) / max(1e-6, float(abs(before.embeddings).max()) * d**0.5)).astype(np.float32)
    head = weight, np.array([0.5, 0.0, -0.5], np.float32)
    card = dataclasses.replace(subject.card, classes=_CLASSES, scores="softmax")
    found = _embed(_derived(subject.model.embedder, card, state, head), subject.inputs)
    same = row_distance(found.embeddings, before.embeddings)
    assert same > 1e-6, "derive() with another state: expected other rows, got the same; likely `state` is not used"
    assert found.scores is not None and found.scores.shape == (len(found.embeddings), 3), (
        "derive() with a head of three classes: expected scores (n, 3), got "
        f"{None if found.scores is None else found.scores.shape}; the head gives the scores"
    )
    logits = found.embeddings.astype(np.float64) @ head[0].T + head[1]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    far = score_distance(found.scores, expected)
    assert far <= TOLERANCE, (
        f"derive() with a head: expected softmax(embeddings @ weight.T + bias), got {far:.2g} apart; likely the head "
        "gets something else than the embeddings, or card.scores is not applied"
    )


def _check_gradients(module: Any, inputs: Floats, name: str, first: Any) -> None:
    found = _first(module(_torch().from_numpy(np.array(inputs))))
    weights = np.random.default_rng(5).normal(size=tuple(found.shape)).astype(np.float32)
    assert found.requires_grad, (
        "module(): expected embeddings that depend on its parameters, got none; likely `no_grad`, `inference_mode` or "
        "`.detach()` in its forward pass"
    )
    (found * _torch().from_numpy(weights)).sum().backward()
    got = first.grad
    assert got is not None and bool((got != 0).any()) and bool(got.isfinite().all()), (
        f"module(): expected a gradient at its first parameter {name!r}, got "
        f"{'none' if got is None else 'zeros, NaN or infinity'}; likely `.detach()`, rounding or NumPy on the way, or "
        "a part of the network that no row depends on"
    )


def _forward(module: Any, inputs: Floats) -> Floats:
    with _torch().no_grad():
        found: Floats = _first(module(_torch().from_numpy(np.array(inputs)))).float().numpy()
    return found


def _first(found: Any) -> Any:
    return found[0] if isinstance(found, tuple) else found


def _torch() -> Any:
    return sys.modules["torch"]


def _derived(embedder: Any, card: Any, state: dict[str, Any], head: tuple[Floats, Floats] | None) -> Any:
    derived = embedder.derive(card, state, head)
    assert derived is not embedder, "derive(): expected a new embedder, got the same one; copy it first"
    got = getattr(derived, "card", None)
    assert got == card, "derive(): expected an embedder with the card that was given, got another card; set its `card`"
    if hasattr(derived, "prepare"):
        derived.prepare()
    return derived


def _own_output(subject: Subject) -> Output:
    """Return what the embedder itself makes of the inputs, without other plugins."""
    return _embed(subject.model.embedder, subject.inputs)


def _embed(embedder: Any, inputs: Floats) -> Output:
    return copied(embedder.embed(np.array(inputs)))


def _answer(output: Output) -> Answer:
    return Answer(None, output.embeddings, output.scores)


def _scaled(value: Any) -> Any:
    return value * 0.9 if value.is_floating_point() else value
