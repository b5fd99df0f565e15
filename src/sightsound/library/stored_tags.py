"""What is in the items of a library, computed from the scores or vectors that it keeps: no file is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sightsound.classify.class_selection import ClassSelection
from sightsound.classify.classifier import Classifier, select_by_rules
from sightsound.classify.model_choice import require_text
from sightsound.classify.segments import SegmentRules
from sightsound.classify.text_classes import check_classes, check_templates, text_scorer
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList, NamedClasses
from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Classified, Outcome
from sightsound.contract.space import Space
from sightsound.host.advice import installed_space
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.library.filters import Filter
from sightsound.library.library import Library, open_library
from sightsound.library.space_reader import KeptScores


def tag_stored(
    library: PathLike | Library,
    *,
    models: str | Sequence[str] = (),
    k: int = 5,
    classes: Sequence[str] = (),
    templates: Sequence[str] = (),
    rules: SegmentRules | None = None,
    where: Filter | None = None,
    host: Host | None = None,
    device: str = "auto",
) -> Iterator[Classified]:
    """Return what is in the items of a library, by the scores or the vectors that it keeps.

    Parameters
    ----------
    library : path or Library
        The library.
    models : str or sequence of str
        The models whose scores count. Empty for all; with `classes` for those that take words. An item has a result
        for each.
    k : int
        How many of the best classes of an item to return at most.
    classes : sequence of str
        Classes of your own in words, in place of those that the library has scores of. Their probabilities come from
        the vectors that it has of models that take words; only the part of a model for words is run.
    templates : sequence of str
        As of `tag`.
    rules : SegmentRules or None
        For sounds: which classes count, and how scores become segments. None stands for `SegmentRules()`.
    where : Filter or None
        Which items; None for all.
    host : Host or None
        Where models and the ontology are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the words are embedded, see `Host.load`.

    Yields
    ------
    Classified
        As of `tag`, model by model, in the order in which contents were indexed.

    Raises
    ------
    LibraryError
        If the library keeps no scores of these models, or with classes no vectors of a model that takes words.
    SightsoundError
        If the classes or templates are wrong, or a model that was named takes no words.
    SpaceMismatch
        If the library has vectors of another version of a model.
    UnknownClass
        If a name in the rules stands for no class.
    MissingWeights
        If the rules need the ontology, and its file cannot be had.

    Examples
    --------
    >>> for found in sightsound.tag_stored("zoo", rules=sightsound.SegmentRules(threshold=0.2)): print(found.item)
    """
    host, rules, where = host or Host(), rules or SegmentRules(), where or Filter()
    words = check_classes(classes)
    texts = check_templates(templates, words)
    wanted = [host.card(name).name for name in ([models] if isinstance(models, str) else models)]
    with open_library(library) as opened:
        spaces = [space for space in opened.spaces if not wanted or space.name in wanted]
        if words:
            spaces = _with_words(host, opened, spaces, named=bool(wanted))
        found = False
        for space in spaces:
            if where.modality not in (None, space.modality):
                continue
            of_sounds = rules if space.modality == "sound" else SegmentRules()
            tagger = _Tagger(space.name, of_sounds, host, k, own=not words)
            if words:
                model = host.load(space.name, device, only_words=True)
                scores = _scores_of_words(opened, space, where, model, words, texts)
            else:
                scores = opened.scores_in(space, where)
            for kept in scores:
                found = True
                for outcome in kept.outcomes:
                    yield tagger.classified(outcome, kept.classes, kept.scores, kept.spans)
        if not found and not words and not opened.class_lists(spaces):
            raise LibraryError(f"{opened.path.name} keeps no scores of these; run `sightsound index --scores` on it")


def _with_words(host: Host, opened: Library, spaces: Sequence[Space], *, named: bool) -> list[Space]:
    """Return the spaces whose models take words; of those that were named, all must."""
    found = []
    for space in spaces:
        if named:
            require_text(host, host.card(space.name))
        try:
            takes_words = host.card(space.name).text
        except SightsoundError:  # it is not installed
            continue
        if takes_words:
            found.append(installed_space(host, space, f"{opened.path.name}, {space.name}"))
    if not found:
        have = ", ".join(space.name for space in opened.spaces) or "none"
        raise LibraryError(
            f"{opened.path.name} has no vectors of a network that takes words, only {have}; index with one"
        )
    return found


def _scores_of_words(
    opened: Library, space: Space, where: Filter, model: Model, words: Sequence[str], templates: Sequence[str]
) -> Iterator[KeptScores]:
    """Yield the probabilities of classes in words for the vectors in a space, as if they were kept."""
    scores_of, classes = text_scorer(model, words, templates), ClassList("words", tuple(words))
    for outcomes, rows, spans in opened.vectors_in(space, where):
        yield KeptScores(outcomes, classes, scores_of(rows), spans if space.modality == "sound" else None)


@dataclass
class _Tagger:
    """Names what is in items by scores of one network; `own` as of `Classifier`."""

    name: str
    rules: SegmentRules
    host: Host
    k: int
    own: bool = True
    _selections: dict[ClassList, ClassSelection] = field(default_factory=dict)

    def classified(self, outcome: Outcome, classes: ClassList, scores: Floats, spans: Seconds | None) -> Classified:
        named = NamedClasses(self.name, classes)
        if classes not in self._selections:
            self._selections[classes] = select_by_rules(named, self.rules, self.host.weights)
        item = Classifier(named, self._selections[classes], self.rules, self.k, own=self.own).start()
        item.feed(scores, spans)
        return item.classified(outcome)
