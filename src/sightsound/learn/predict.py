"""Classify files, or the items of a library, with a fitted probe or stack."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sightsound.contract.arrays import Floats, Seconds, scores_as_kept
from sightsound.contract.classlist import ClassList
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.results import Classified, Item, Outcome, WindowScores
from sightsound.host.advice import installed_space
from sightsound.host.host import Host
from sightsound.learn.score_features import score_rows, scored_classes
from sightsound.library.content_rows import ContentRows
from sightsound.library.filters import Filter
from sightsound.library.library import Library, open_library
from sightsound.linear.features import FeatureSpec
from sightsound.linear.model import LinearModel
from sightsound.linear.rejection import NoneBelow, threshold
from sightsound.linear.stack_model import StackModel
from sightsound.pipeline.embeddings import Embeddings
from sightsound.pipeline.stream import Embedded

Probe = LinearModel | StackModel


def feature_specs_of(probe: Probe) -> tuple[FeatureSpec, ...]:
    """Return the feature spec of a probe, or of each network of a stack.

    Raises `SightsoundError` for a probe that was not fitted to a data set of a library.
    """
    return tuple(probe.feature_specs_) if isinstance(probe, StackModel) else (probe.require_feature_spec(),)


def predict(
    probe: Probe,
    paths: PathLike | Sequence[PathLike],
    *,
    none_below: NoneBelow | None = None,
    host: Host | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Iterator[Classified]:
    """Classify files with a probe or a stack.

    Parameters
    ----------
    probe : LinearModel or StackModel
        A classifier that was fitted to data sets of a library.
    paths : path or sequence of paths
        Files and folders.
    none_below : float or "auto", optional
        The `label` of a file whose highest probability is under this number is None. "auto" is the threshold that
        `fit_probe` found. By default each file has a class.
    host : Host, optional
        Where the networks come from. `Host()` by default.
    device : str
        Where they run, see `Host.load`.
    progress : bool, optional
        Whether to show a progress bar. By default on a terminal and in a notebook.

    Yields
    ------
    Classified
        The classes of each file, in the order of the files. A file that fails has an outcome with the reason. Probes of
        windows give the probabilities of each window too.

    Raises
    ------
    SpaceMismatch
        If an installed network or its weights differ from those that the classifier was fitted with.
    SightsoundError
        If the classifier was not fitted to a data set of a library, has no threshold for "auto", or uses scores of
        other classes than the network's.
    """
    host, files = host or Host(), as_list(paths)
    specs, least = feature_specs_of(probe), threshold(probe, none_below)
    for spec in specs:
        installed_space(host, spec.space, "probe", anew="or fit the probe anew")
        spec.require_classes(host.card(spec.space.name).classes)
    kinds = [host.card(spec.space.name).scores for spec in specs]
    passes = [Embeddings(files, spec.space.name, host, device, None, progress) for spec in specs]
    if isinstance(probe, LinearModel):
        return (_classify(probe, [_file_features(specs[0], each, kinds[0])], least) for each in passes[0].items())
    # All files go through one network before the next one is loaded, so that networks do not compete for the cores.
    features = [
        [_file_features(spec, each, kind) for each in embeddings.items()]
        for spec, embeddings, kind in zip(specs, passes, kinds)
    ]
    return (_classify(probe, list(each), least) for each in zip(*features))


def predict_stored(
    probe: Probe, library: PathLike | Library, where: Filter | None = None, *, none_below: NoneBelow | None = None
) -> Iterator[Classified]:
    """Classify the items of a library, by the vectors that it stores.

    Parameters
    ----------
    probe : LinearModel or StackModel
        A classifier that was fitted to data sets of a library.
    library : path or Library
        A library with vectors of its networks.
    where : Filter, optional
        Which items to classify. All by default.
    none_below : float or "auto", optional
        As of `predict`.

    Yields
    ------
    Classified
        The classes of each item, by its id. Items without vectors of one of the networks have failed, and without
        scores where the probe uses them.

    Raises
    ------
    SpaceMismatch
        If the library has vectors of other versions of the networks.
    SightsoundError
        If the classifier was not fitted to a data set of a library, or has no threshold for "auto".
    """
    specs, least = feature_specs_of(probe), threshold(probe, none_below)
    with open_library(library) as opened:
        stored = [_stored_features(opened, number, spec, where) for number, spec in enumerate(specs)]
        for item, group in groupby(heapq.merge(*stored, key=_id_of), key=itemgetter(0)):
            found = {number: features for _, number, features in group}
            missing = [spec.space.name for number, spec in enumerate(specs) if number not in found]
            if missing:
                reason = f"no vectors in {', '.join(missing)}; index it with that model"
                yield Classified(item, Outcome(item, "failed", reason))
            else:
                yield _classify(probe, list(found.values()), least)


@dataclass(frozen=True)
class _Features:
    """The features of an item in one space.

    `rows` are those that the probe takes, None if the item failed; `spans` the seconds of windows.
    """

    outcome: Outcome
    rows: Floats | None
    spans: Seconds | None


def _file_features(spec: FeatureSpec, found: Embedded, kind: str | None) -> _Features:
    rows = None
    if found.embeddings is not None:
        scores = scores_as_kept(found.scores, kind) if spec.uses_scores and found.scores is not None else None
        rows = spec.rows(found.embeddings, scores)
    return _Features(found.outcome, rows, found.spans if spec.level == "window" else None)


def _stored_features(
    library: Library, number: int, spec: FeatureSpec, where: Filter | None
) -> Iterator[tuple[Item, int, _Features]]:
    """Yield each item of the space of a probe, the number of the probe, and the features, by the ids of items."""
    has_spans = spec.level == "window" and spec.space.modality == "sound"
    classes = scored_classes(library, spec) if spec.uses_scores else None
    lacks = spec.lacks(classes)
    for stored in library.stored_items(spec.space, where):
        item, (vectors, spans) = stored.items[0], stored.read()
        rows = None if lacks else _stored_rows(spec, vectors, classes, stored)
        reason = lacks or spec.lacks(None) or ""
        outcome = Outcome(item, "ok") if rows is not None else Outcome(item, "failed", reason)
        yield item, number, _Features(outcome, rows, spans if has_spans else None)


def _id_of(found: tuple[Item, int, _Features]) -> int:
    return found[0].id or 0


def _stored_rows(spec: FeatureSpec, vectors: Floats, classes: ClassList | None, stored: ContentRows) -> Floats | None:
    """Return the rows of an item; None where it lacks scores that are used."""
    if not spec.uses_scores:
        return spec.rows(vectors)
    scores = score_rows(spec, classes, stored)
    return None if scores is None else spec.joined(spec.using("embedding").rows(vectors), scores)


def _classify(probe: Probe, features: Sequence[_Features], none_below: float | None) -> Classified:
    """Classify one item by its features in each space."""
    model = " + ".join(spec.space.name for spec in feature_specs_of(probe))
    rows = [each.rows for each in features if each.rows is not None]
    failed = next((each.outcome for each in features if each.outcome.status != "ok"), None)
    if failed is not None or not rows:
        outcome = failed or features[0].outcome
        return Classified(outcome.item, outcome, model)
    scores = probe.predict_proba(rows) if isinstance(probe, StackModel) else probe.predict_proba(rows[0])
    outcome, spans = features[0].outcome, features[0].spans
    labels = tuple(str(label) for label in probe.classes_)
    windows = None if spans is None else WindowScores(scores, spans, labels)
    top = probe.rank(scores.mean(axis=0))
    return Classified(outcome.item, outcome, model, top, windows=windows, none_below=none_below)
