"""Names of models: their options, the plugin that knows a name, and the nearest name for an unknown one."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError, SightsoundError, UnknownModel
from sightsound.contract.paths import nearest
from sightsound.host.discovery import Registration, Registry, one_line

log = logging.getLogger(__name__)
_NAME = re.compile(r"(?P<base>[^\[\]]+)(\[(?P<options>[^\[\]]*)\])?")


def parse(name: str) -> tuple[str, dict[str, str | bool]]:
    """Split a name into `arch.tag` and its options.

    >>> parse("net.tag[pca,layer=fc2]")
    ('net.tag', {'pca': True, 'layer': 'fc2'})

    Raises `UnknownModel` if the text cannot be a name, or has an option twice.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UnknownModel(f"model {name!r}: expected arch.tag or arch.tag[option,...]")
    options = (option.strip() for option in (match["options"] or "").split(","))
    pairs = [option.partition("=") for option in options if option]
    found: dict[str, str | bool] = {key: value if sign else True for key, sign, value in pairs}
    if len(found) < len(pairs):
        raise UnknownModel(f"model {name!r}: expected each option once; leave one of them out")
    return match["base"], found


def resolve(registry: Registry, name: str) -> Registration | None:
    """Ask the plugins, the last registered first, for a name that nobody registered.

    Parameters
    ----------
    registry : Registry
        The plugins.
    name : str
        A name, with or without options.

    Returns
    -------
    Registration or None
        The first answer, or None if no plugin knows the name.

    Raises
    ------
    SightsoundError
        If no plugin answers and one raises it, for example because of an unknown option.
    PluginError
        If no plugin answers and one of them fails, or answers with the card of another network.
    """
    base, options = parse(name)
    refusals: list[SightsoundError] = []
    failures: list[PluginError] = []
    for plugin, implementation in reversed(registry.manager.list_name_plugin()):
        try:
            answer = registry.hook_of(implementation, "resolve_embedder")(name=base, options=dict(options))
            if answer is not None:
                card, load = answer
                _check_answer(card, base, answer)
                return Registration(card, load, plugin)
        except (Exception, SystemExit) as error:
            log.debug("resolving %r (plugin %s) failed", name, plugin, exc_info=True)
            if isinstance(error, SightsoundError) and not isinstance(error, PluginError):
                refusals.append(error)
            else:
                failures.append(_failure(name, plugin, error))
    for problem in (*refusals, *failures):
        raise problem
    return None


def _check_answer(card: object, base: str, answer: object) -> None:
    """Refuse an answer without a card, and the card of another architecture than the one that was asked for.

    A tag may be completed or have another name, as `resnet50` is `resnet50.a1_in1k`.
    """
    if not isinstance(card, Card):
        raise PluginError(f"expected (card, load) or None, got {answer!r}")
    if _architecture(card.name) != _architecture(base):
        raise PluginError(f"expected a card of {_architecture(base)!r} or None, got {card.name!r}")


def _architecture(name: str) -> str:
    return name.partition("[")[0].partition(".")[0]


def _failure(name: str, plugin: str, error: BaseException) -> PluginError:
    failure = PluginError(f"resolving {name!r} (plugin {plugin}): {one_line(error)}; or block it (--block {plugin})")
    failure.__cause__ = error
    return failure


def unknown(registry: Registry, name: str) -> UnknownModel:
    """Return the error for a name that no plugin knows, with the nearest name and the plugins that are not in use."""
    base = name.partition("[")[0]
    if base in registry.embedders:
        return UnknownModel(f"model {base!r} has no options {name[len(base) :]}; see `sightsound models`")
    similar = _nearest(name, list(registry.embedders))
    advice = f"did you mean {similar!r}?" if similar else "see `sightsound models`"
    unused = [plugin.name for plugin in registry.plugins.values() if plugin.status != "ok"]
    return UnknownModel(
        f"no embedder {name!r} among {len(registry.embedders)}; {advice}"
        + (f" (plugins not in use: {', '.join(unused)})" if unused else "")
    )


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the name that is similar as a whole, or begins with `name`, or is similar before its tag."""
    begun = (each for each in known if each.lower().startswith(name.lower()))
    found = nearest(name, known, cutoff=0.5) or next(begun, None)
    if found:
        return found
    by_arch = {each.partition(".")[0]: each for each in reversed(known)}
    return by_arch.get(nearest(name.partition(".")[0], by_arch) or "")
