"""The command `sightsound search`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import device_option, filter_of, filter_options, host, json_option, library_option
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.results import Hit
    from sightsound.library.filters import Filter
    from sightsound.library.library import Library
    from sightsound.library.query import Query
    from sightsound.library.query_types import Per


@click.command()
@click.argument("files", nargs=-1, metavar="FILE[@START-STOP]...")
@library_option()
@click.option("--id", "item", type=int, help="Search by an item of the library.")
@click.option(
    "--vector", metavar="NPY|NPZ", help="Search by the rows in a .npy file, or in the .npz of `embed`, in its space."
)
@click.option("--text", metavar="WORDS", help='Search by words, such as "a red car", with networks that take words.')
@click.option("-k", default=10, show_default=True, type=click.IntRange(1), help="The number of items.")
@click.option(
    "-m", "--model", "models", multiple=True, help="Only the vectors of this model; repeat it to combine several."
)
@click.option(
    "--tag", "tags", multiple=True, metavar="CLASS", help="Only what was tagged with this class, or subtree:NAME."
)
@click.option(
    "--min-score",
    type=float,
    help="The lowest cosine in a network, before ranks are combined; or the lowest score of a tag.",
)
@filter_options()
@click.option(
    "--per",
    type=click.Choice(["item", "window"]),
    default="item",
    show_default=True,
    help="Each item once, or all of its best parts.",
)
@click.option("--copies", is_flag=True, help="Also items with the content of the query itself.")
@click.option("--exact", is_flag=True, help="Compare with all vectors, also where there is an approximate index.")
@click.option("--each", is_flag=True, help="Each row of --vector is a query of its own.")
@device_option()
@json_option()
@click.pass_context
def search(
    context: click.Context,
    /,
    files: tuple[str, ...],
    library: str,
    item: int | None,
    vector: str | None,
    text: str | None,
    k: int,
    models: Sequence[str],
    tags: tuple[str, ...],
    min_score: float | None,
    per: Per,
    copies: bool,
    exact: bool,
    each: bool,
    device: str,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Find the items most similar to a file, to the seconds START to STOP of a recording, or to words.

    Several files are several queries, which are compared together.

    --tag alone finds the segments and images with one of these classes ; --tag with a query
    finds only items that have all of them.
    """
    from sightsound.library.library import Library
    from sightsound.library.search import expand_tags, search_tags
    from sightsound.library.search import search as run
    from sightsound.library.store.score_table import FLOOR

    here, where, more = host(context), filter_of(conditions), 0
    how: dict[str, Any]
    with Library(library) as opened:
        if tags and not files and (item, vector, text) == (None, None, None):
            how = {"k": k, "models": models, "host": here, "where": where}
            hits = search_tags(tags, opened, min_score=min_score, **how)
            found = {"": hits}
            if len(hits) < k and (min_score is None or min_score > FLOOR):
                more = len(search_tags(tags, opened, min_score=FLOOR, **how)) - len(hits)
        else:
            queries = _read_queries(files, item, vector, text, each)
            where = dataclasses.replace(where, tags=expand_tags(tags, opened, here))
            how = {"min_score": min_score, "where": where, "per": per, "copies": copies, "exact": exact}
            every = run([*queries.values()], opened, k=k, models=models, host=here, device=device, **how)
            found = dict(zip(queries, every))
            _print_recall({space.name: line for space, line in opened.approximated.items()})
        unknown = [] if any(found.values()) else _unknown_names(opened, where)
    if len(found) == 1:
        (hits,) = found.values()
        output.print_json([_hit_json(hit) for hit in hits]) if as_json else _print_hits(hits)
    elif as_json:
        output.print_json([{"query": name, "hits": [_hit_json(hit) for hit in hits]} for name, hits in found.items()])
    else:
        for name, hits in found.items():
            output.echo(f"{printable(name)}:")
            _print_hits(hits)
    for text in unknown:
        output.echo(text, err=True)
    if more > 0:
        output.echo(f"{more} more with a lower score: --min-score {FLOOR}", err=True)


def _print_recall(lines: dict[str, str]) -> None:
    """Print the recall of each index that was used, to standard error."""
    for name, line in lines.items():
        output.echo(line if len(lines) == 1 else f"{name}: {line}", err=True)


def _read_queries(
    files: Sequence[str], item: int | None, vector: str | None, text: str | None, each: bool
) -> dict[str, Query]:
    """Return the queries by their names."""
    from sightsound.library.query_types import Text

    if bool(files) + sum(query is not None for query in (item, vector, text)) != 1:
        raise click.UsageError("expected one of FILE, --id, --vector and --text, or --tag")
    if each and vector is None:
        raise click.UsageError("--each: expected --vector, whose rows are the queries")
    if vector is not None:
        return _vector_queries(vector, each)
    if text is not None:
        return {text: Text(text)}
    if item is not None:
        return {str(item): item}
    return {file: file for file in files}


def _vector_queries(file: str, each: bool) -> dict[str, Query]:
    import numpy as np

    from sightsound.library.query_types import Vectors

    if file.lower().endswith(".npz"):
        found = Vectors.load(file)
        return {query.name: query for query in found.each()} if each else {file: found}
    rows = _read_vector(file)
    if not each:
        return {file: rows}
    return {f"{file}, row {number}": row for number, row in enumerate(np.atleast_2d(rows))}


def _unknown_names(library: Library, where: Filter) -> list[str]:
    """Return a text for each column in a filter that no item of the library has."""
    columns = {column for _, column, _ in library.all_labels()} if where.labels else set()
    texts = []
    for text in where.labels:
        name, sign, _ = text.partition("=")
        if sign and name not in columns:
            there = ", ".join(sorted(columns)) or "none"
            texts.append(f"--label {text}: expected one of {there}, got {name}")
    return texts


def _read_vector(file: str) -> Any:
    import numpy as np

    if os.path.exists(file) and not os.path.isfile(file):
        raise SightsoundError(f"{file}: expected a .npy file, got something else; name another file")
    try:
        found: Any = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged header raises whatever the parsers below NumPy do
        why = "another kind of file" if "pickle" in str(error) else printable(error)  # NumPy takes it for a pickle
        raise SightsoundError(f"{file}: expected a .npy file of numbers, got {why}") from error
    if not isinstance(found, np.ndarray):
        raise SightsoundError(
            f"{file}: expected a .npy file of one array, got several; call it .npz if `embed` made it"
        )
    return found


def _hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.item.id,
        "path": hit.item.path,
        "root": hit.item.root,
        "score": round(hit.score, 6),
        "seconds": hit.seconds,
        "query_seconds": hit.query_seconds,
        "labels": {column: list(values) for column, values in hit.labels.items()},
        "spaces": hit.spaces,
        "tag": hit.tag or None,
    }


def _print_hits(hits: list[Hit]) -> None:
    if not hits:
        output.echo("nothing found")
        return
    timed = any(hit.seconds for hit in hits)
    labelled = any(hit.labels for hit in hits)
    tagged = any(hit.tag for hit in hits)
    score = "ranks" if any(len(hit.spaces) > 1 for hit in hits) else "score"
    header = [
        *(score, *(["seconds"] if timed else []), *(["tag"] if tagged else [])),
        *("id", "path", *(["labels"] if labelled else [])),
    ]
    rows = []
    for hit in hits:
        seconds = [f"{hit.seconds[0]:.2f}-{hit.seconds[1]:.2f}" if hit.seconds else ""] if timed else []
        labels = [", ".join(f"{c}={v}" for c, values in hit.labels.items() for v in values)] if labelled else []
        tag = [hit.tag] if tagged else []
        rows.append([f"{hit.score:.4f}", *seconds, *tag, hit.item.id, hit.item.path, *labels])
    output.print_table(header, rows)
