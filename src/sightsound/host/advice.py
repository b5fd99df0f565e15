"""What the user can do if the installed plugins do not give the space of what is stored."""

from __future__ import annotations

from collections.abc import Sequence

from sightsound.contract.errors import UnknownModel
from sightsound.contract.imported_space import origin_of
from sightsound.contract.space import Space
from sightsound.host.discovery import Plugin
from sightsound.host.host import Host


def installed_space(host: Host, stored: Space, what: str, *, anew: str = "") -> Space:
    """Return the space of the installed model of the same name, which must be the same space.

    Parameters
    ----------
    host : Host
        The installed plugins.
    stored : Space
        The space of vectors in a library, or of a probe.
    what : str
        What belongs to it, for errors.
    anew : str
        How to make it anew, see `Space.require`.

    Returns
    -------
    Space

    Raises
    ------
    UnknownModel
        If no plugin has the network, or the vectors were imported.
    SpaceMismatch
        If it is another space; the text says which plugin to install, by the line of pip if it is known.
    """
    require_not_imported(stored, what)
    try:
        found = host.space(stored.name)
    except UnknownModel as error:
        raise UnknownModel(f"{what}: {_not_installed(host, stored.name, error)}") from error
    stored.require(found, what, anew=anew, remedies=remedies(host, stored))
    return found


def require_not_imported(stored: Space, what: str) -> None:
    """Raise `UnknownModel` for a space of imported rows, which no plugin can make more rows of.

    Parameters
    ----------
    stored : Space
        The space of vectors in a library, or of a probe.
    what : str
        What belongs to it; the error begins with it.
    """
    origin = origin_of(stored)
    if origin is not None:
        step = "`sightsound import --verify` makes them its own" if origin.fingerprint else "import their rows too"
        raise UnknownModel(
            f"{what}: rows were imported from {origin}; no plugin has this model, so that new files cannot be "
            f"embedded; search by an item or vectors (--id, --vector), or {step}"
        )


def remedies(host: Host, stored: Space) -> dict[str, str]:
    """Return for each stage of a stored space what brings it back, as far as the plugins tell."""
    return {stage: _remedy(stage, host.plugins) for stage in stored.stages}


def _remedy(stage: str, plugins: Sequence[Plugin]) -> str:
    name, _, rest = stage.partition(" ")
    found = next((each for each in plugins if each.name == name or name in each.runtimes), None)
    if found is None:
        return f"install the plugin {stage}"
    if found.status == "blocked":
        return f"do not block the plugin {name} (--block, SIGHTSOUND_BLOCK)"
    if found.status == "broken":
        return f"mend the plugin {name} ({found.reason})"
    version = rest.partition(" ")[0]
    if version != found.version and found.distribution:
        return f'install the plugin {stage}: pip install "{found.distribution}=={version}"'
    return f"give the plugin {name} its version and settings of then ({rest})"


def _not_installed(host: Host, name: str, error: UnknownModel) -> str:
    """Return what is wrong with a stored name: its options, plugins that are not in use, or that nobody has it."""
    base = name.partition("[")[0]
    if base != name and base in host.cards:
        return str(error)
    unused = [f"{each.name} ({each.reason})" for each in host.plugins if not each.in_use]
    notes = f"; not in use: {', '.join(unused)}" if unused else ""
    return f"no installed plugin has the network {name!r}; install the plugin that it was indexed with{notes}"
