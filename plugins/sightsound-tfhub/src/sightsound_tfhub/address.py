"""TF-Hub handles and other addresses of archives with a SavedModel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

from sightsound.plugin import SightsoundError, WeightFile

HUB = "https://tfhub.dev/"
"""Where a handle without a server, such as google/yamnet/1, is looked up."""

PINNED = {f"{HUB}google/yamnet/1": "b80da2a1a56926fb0767205051a200dd7b3beaf3ea1ea126c42a53943996e5e0"}
"""Address -> SHA-256 of its archive. Several independent projects publish the same hash for it."""

_HANDLE = re.compile(r"[A-Za-z0-9][\w-]*(/[A-Za-z0-9][\w.-]*)+/[0-9]+")
_SHA256 = re.compile(r"sha256=([0-9a-f]{64})")
_ARCHIVES = (".tar.gz", ".tgz")


@dataclass(frozen=True)
class Address:
    """The address of an archive.

    Parameters
    ----------
    url : str
        The address, which asks TF-Hub for an archive.
    sha256 : str
        The SHA-256 of the archive, "" if it is not known.
    file_name : str
        A file name for the archive.
    """

    url: str
    sha256: str
    file_name: str


def address_of(source: str) -> Address | None:
    """Return the address that a source is, None for a path.

    Parameters
    ----------
    source : str
        An https address, or a handle as `google/yamnet/1`. `#sha256=` and 64 digits may follow.

    Raises
    ------
    SightsoundError
        If something else follows a `#`.

    Returns
    -------
    Address or None
    """
    plain, _, fragment = source.partition("#")
    if _HANDLE.fullmatch(plain):
        plain = HUB + plain
    try:
        parts = urlsplit(plain)
    except ValueError:
        return None
    last = parts.path.rstrip("/").rpartition("/")[2].lower()
    archive = last.endswith(_ARCHIVES)
    if parts.scheme not in ("https", "http") or not (archive or re.fullmatch(r"[\w-]+", last)):
        return None
    stated = _SHA256.fullmatch(fragment)
    if fragment and stated is None:
        raise SightsoundError(f"{source}: expected #sha256= and 64 hexadecimal digits in lower case; correct it")
    known = stated[1] if stated else PINNED.get(plain.rstrip("/"), "")
    query = parts.query
    if not archive and "tf-hub-format" not in parse_qs(query):
        query = "&".join(filter(None, (query, "tf-hub-format=compressed")))
    name = re.sub(r"[^A-Za-z0-9.]+", "_", parts.path).strip("_.")
    for suffix in _ARCHIVES:
        name = name.removesuffix(suffix)
    return Address(urlunsplit(parts._replace(query=query)), known, f"{name}.tar.gz")


def fetch(address: Address) -> Path:
    """Return the archive at an address, from the user's cache if it was fetched before.

    Parameters
    ----------
    address : Address
        Its `sha256` is compared if it is known.

    Raises
    ------
    SightsoundError
        If it cannot be fetched, also because SIGHTSOUND_OFFLINE is set, or has another hash.

    Returns
    -------
    pathlib.Path
    """
    from sightsound import Host

    file = WeightFile(name=address.file_name, sha256=address.sha256, sources=(address.url,))
    try:
        return Path(Host(installed=False).weights.get(file).path)
    except SightsoundError as error:  # its advice is for weights of a model, which this is not yet
        facts = [part for part in str(error).split("; ") if not part.startswith(("give --weights", "unset "))]
        step = "download it by other means, and import the file"
        raise SightsoundError(f"{address.url}: cannot be fetched ({'; '.join(facts)}); {step}") from error
