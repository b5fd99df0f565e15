"""What a library and its hits show of themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sightsound.contract.html import html_table, show_media_with
from sightsound.contract.space import Space
from sightsound.library.space_names import named_spaces
from sightsound.media.notebook import media_html

show_media_with(media_html)


def library_html(path: str, items: int, spaces: Mapping[Space, int], columns: Sequence[str]) -> str:
    """Return a library as HTML: its path, the number of its items, its columns of labels, and its spaces.

    Parameters
    ----------
    path : str
        The folder.
    items : int
        The number of items.
    spaces : mapping of Space to int
        The number of vectors of each space.
    columns : sequence of str
        The columns of labels.
    """
    rows = [(name, s.modality, s.dim, count, s.fingerprint[:12]) for name, s, count in named_spaces(spaces)]
    labels = f"; labels: {', '.join(columns)}" if columns else ""
    return html_table(
        ["space", "modality", "dim", "vectors", "fingerprint"],
        rows,
        f"{path}: {items} item{'s' * (items != 1)}{labels}",
    )
