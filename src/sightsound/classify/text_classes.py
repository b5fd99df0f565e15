"""Classes that are given as words, for a network that takes words: a linear model whose coefficients are their rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sightsound.classify.probe_model import attach_probe, card_with_classes
from sightsound.contract.arrays import Floats, Matrix, unit_rows
from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.host.faults import stage_error
from sightsound.host.model import Model
from sightsound.linear.features import FeatureSpec
from sightsound.linear.model import LinearModel

TEMPLATES = ("{}",)
LOGIT_SCALE = 100.0
"""What a card has that says nothing else in `constants["text"]`; the scale is that of CLIP (Radford et al., 2021)."""


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return classes that are given as words, none if none are given.

    Raises
    ------
    SightsoundError
        If there is a single one, or if they are not different names.
    """
    if isinstance(classes, str):
        raise SightsoundError(f"classes: expected a list of names, got {classes!r}; put each into a text of its own")
    names = tuple(classes)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise SightsoundError(f"classes: expected names, got {name!r}; leave it out")
        if names.count(name) > 1:
            raise SightsoundError(f"classes: expected each once, got {name!r} twice; leave one out")
    if len(names) == 1:
        raise SightsoundError(f"classes: expected two or more, got {names[0]!r}; add what else it may be")
    return names


def check_templates(templates: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Return templates for classes that are given as words, none if none are given.

    Raises
    ------
    SightsoundError
        If one lacks `{}`, which stands for a class, or if there are no classes.
    """
    if isinstance(templates, str):
        raise SightsoundError(f"templates: expected a list of texts, got {templates!r}; put it into a list")
    for text in templates:
        if not isinstance(text, str) or "{}" not in text:
            raise SightsoundError(f"templates: expected texts with {{}} in place of the class, got {text!r}")
    if templates and not classes:
        raise SightsoundError("templates: expected classes in words, which they are for, got none; give --classes")
    return tuple(templates)


def text_card(card: Card, classes: Sequence[str]) -> Card:
    """Return the card of a network with these classes in place of its own."""
    return card_with_classes(card, "words", tuple(classes), "softmax")


def with_text_classes(model: Model, classes: Sequence[str], templates: Sequence[str] = ()) -> Model:
    """Return a network whose scores are the probabilities of classes that are given as words.

    Parameters
    ----------
    model : Model
        A network that takes words.
    classes : sequence of str
        The classes, as `check_classes` returned them.
    templates : sequence of str
        Texts with `{}` in place of the class. Empty for those of the card.

    Returns
    -------
    Model

    Raises
    ------
    SightsoundError
        If the network takes no words.
    PluginError
        If the network fails, or if its card has wrong constants.
    """
    return attach_probe(model, text_probe(model, classes, templates), name="words")


def text_probe(model: Model, classes: Sequence[str], templates: Sequence[str] = ()) -> LinearModel:
    """Return the linear model of classes that are given as words.

    The decision value of a class is the logit scale times the cosine of a row with the class, whose vector is the mean
    of the unit-length rows of all templates (Radford et al., Learning Transferable Visual Models From Natural Language
    Supervision, ICML 2021, section 3.1.4). The scale is that of the weights, if the network says it. Otherwise it is in
    `constants["text"]` of the card, as the templates are.

    Parameters
    ----------
    model : Model
        A network that takes words.
    classes : sequence of str
        Two or more classes.
    templates : sequence of str
        Texts with `{}` in place of the class. Empty for those of the card.

    Returns
    -------
    LinearModel
        It takes the rows of windows, or of images.

    Raises
    ------
    SightsoundError
        If the network takes no words.
    PluginError
        If the network fails, or if its card has wrong constants.
    """
    usual, scale = _settings(model.card)
    templates = tuple(templates) or usual
    scale = _own_scale(model) or scale
    texts = [template.replace("{}", name) for name in classes for template in templates]
    rows = finite_text_rows(model, texts)
    means = unit_rows(rows).reshape(len(classes), len(templates), -1).mean(axis=1, dtype=np.float64)
    coef: Matrix = scale * means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-30)
    if len(coef) == 2:
        coef = coef[1:] - coef[:1]  # a linear model of two classes has one row, for the second against the first
    probe = LinearModel(coef, np.zeros(len(coef)), np.array(classes), scaling="unit")
    probe.feature_spec_ = FeatureSpec(model.space, "window")
    return probe


def text_scorer(model: Model, classes: Sequence[str], templates: Sequence[str] = ()) -> Callable[[Floats], Floats]:
    """Return a function of rows (n, dim) that gives the probabilities of classes in words, float32 (n, classes).

    The parameters and errors are those of `text_probe`.
    """
    probe = text_probe(model, classes, templates)
    spec = probe.require_feature_spec()
    return lambda rows: probe.predict_proba(spec.rows(rows)).astype(np.float32)


def finite_text_rows(model: Model, texts: Sequence[str]) -> Floats:
    """Return the rows of texts, float32 (n, dim). Raises `PluginError` if they are not finite."""
    rows = model.text(texts)
    for text, row in zip(texts, rows):
        if not np.isfinite(row).all():
            name = model.card.name
            raise PluginError(f"{name} gave NaN or infinity for {text!r}; run `sightsound check-model {name}`")
    return rows


def _own_scale(model: Model) -> float | None:
    """Return the logit scale of the weights, None if the network does not say it."""
    ask = getattr(model.embedder, "logit_scale", None)
    if ask is None:
        return None
    try:
        found = ask()
        if found is None or (math.isfinite(found) and found > 0):
            return None if found is None else float(found)
    except SightsoundError:
        raise
    except Exception as error:
        raise stage_error(model, "logit_scale", f"{type(error).__name__}: {error}") from error
    raise stage_error(model, "logit_scale", f"expected a positive number or None, got {found!r}")


def _settings(card: Card) -> tuple[Sequence[str], float]:
    """Return the templates and the logit scale of a card."""
    text = card.constants.get("text", {})
    where = f"card {card.name!r}: constants['text']"
    if not isinstance(text, Mapping):
        raise PluginError(f"{where}: expected a mapping, got {text!r}; correct the plugin")
    templates, scale = text.get("templates", TEMPLATES), text.get("logit_scale", LOGIT_SCALE)
    listed = isinstance(templates, tuple) and templates
    if not listed or not all(isinstance(each, str) and "{}" in each for each in templates):
        raise PluginError(f"{where}: templates: expected texts with {{}}, got {templates!r}; correct the plugin")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or scale <= 0:
        raise PluginError(f"{where}: logit_scale: expected a positive number, got {scale!r}; correct the plugin")
    return templates, float(scale)
