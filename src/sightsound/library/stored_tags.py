"""What is in the items of a library, computed from the scores that it keeps: no file is read, no network runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sightsound.classify.class_selection import ClassSelection
from sightsound.classify.classifier import Classifier, select_by_rules
from sightsound.classify.segments import SegmentRules
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList, NamedClasses
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Classified, Outcome
from sightsound.host.host import Host
from sightsound.library.filters import Filter
from sightsound.library.library import Library, open_library


def tag_stored(
    library: PathLike | Library,
    *,
    models: str | Sequence[str] = (),
    k: int = 5,
    rules: SegmentRules | None = None,
    where: Filter | None = None,
    host: Host | None = None,
) -> Iterator[Classified]:
    """Return what is in the items of a library, by the scores that it keeps.

    Parameters
    ----------
    library : path or Library
        The library.
    models : str or sequence of str
        The models whose scores count. Empty for all. An item has a result for each.
    k : int
        How many of the best classes of an item to return at most.
    rules : SegmentRules or None
        For sounds: which classes count, and how scores become segments. None stands for `SegmentRules()`.
    where : Filter or None
        Which items; None for all.
    host : Host or None
        Where models and the ontology are looked up. None stands for a new host of the installed plugins.

    Yields
    ------
    Classified
        As of `tag`, model by model, in the order in which contents were indexed.

    Raises
    ------
    LibraryError
        If the library keeps no scores of these models.
    UnknownClass
        If a name in the rules stands for no class.
    MissingWeights
        If the rules need the ontology, and its file cannot be had.

    Examples
    --------
    >>> for found in sightsound.tag_stored("zoo", rules=sightsound.SegmentRules(threshold=0.2)): print(found.item)
    """
    host, rules, where = host or Host(), rules or SegmentRules(), where or Filter()
    wanted = [host.card(name).name for name in ([models] if isinstance(models, str) else models)]
    with open_library(library) as opened:
        spaces = [space for space in opened.spaces if not wanted or space.name in wanted]
        found = False
        for space in spaces:
            of_sounds = rules if space.modality == "sound" else SegmentRules()
            tagger = _Tagger(space.name, of_sounds, host, k)
            for kept in opened.scores_in(space, where):
                found = True
                for outcome in kept.outcomes:
                    yield tagger.classified(outcome, kept.classes, kept.scores, kept.spans)
        if not found and not opened.class_lists(spaces):
            raise LibraryError(f"{opened.path.name} keeps no scores of these; run `sightsound index --scores` on it")


@dataclass
class _Tagger:
    """Names what is in items by scores of one network."""

    name: str
    rules: SegmentRules
    host: Host
    k: int
    _selections: dict[ClassList, ClassSelection] = field(default_factory=dict)

    def classified(self, outcome: Outcome, classes: ClassList, scores: Floats, spans: Seconds | None) -> Classified:
        named = NamedClasses(self.name, classes)
        if classes not in self._selections:
            self._selections[classes] = select_by_rules(named, self.rules, self.host.weights)
        item = Classifier(named, self._selections[classes], self.rules, self.k).start()
        item.feed(scores, spans)
        return item.classified(outcome)
