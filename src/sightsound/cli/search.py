"""The command `sightsound search`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import (
    device_option,
    filter_options,
    host,
    libraries_option,
    refuse_given,
    take_filter,
)
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.results import Hit
    from sightsound.library.query import Query
    from sightsound.library.query_types import Per


@click.command()
@click.argument("files", nargs=-1, metavar="FILE[@START-STOP]...")
@libraries_option()
@click.option("--id", "item", type=int, help="Search by an item of the library.")
@click.option(
    "--vector", metavar="NPY|NPZ", help="Search by the rows in a .npy file, or in the .npz of `embed`, in its space."
)
@click.option("--text", metavar="WORDS", help='Search by words, such as "a red car", with networks that take words.')
@click.option("-k", default=10, show_default=True, type=click.IntRange(1), help="The number of items.")
@click.option(
    "-m", "--model", "models", multiple=True, help="Only the vectors of this model; repeat it to combine several."
)
@filter_options()
@click.option(
    "--min-score",
    type=float,
    help="The lowest cosine in a network, before ranks are combined; or the lowest score of a tag.",
)
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
@table_options
@click.pass_context
def search(
    context: click.Context,
    /,
    files: tuple[str, ...],
    libraries: tuple[str, ...],
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
    table: TableOutput,
    **chosen: Any,
) -> None:
    """Find the items most similar to a file, to the seconds START to STOP of a recording, or to words.

    Several files are several queries, which are compared together.

    --tag alone finds the segments and images with one of these classes; --tag with a query finds
    only items that have all of them.

    --library may be repeated: hits of several libraries are merged, and name theirs.
    """
    from sightsound.library.hit_table import hit_batches, hit_columns
    from sightsound.library.library import Library
    from sightsound.library.search import expand_tags_of, search_tags
    from sightsound.library.search import search as run
    from sightsound.library.store.score_table import FLOOR

    read = [*files, *(file.rpartition("@")[0] for file in files), *([vector] if vector else [])]
    for name in libraries:
        table.check(inputs=read, library=name)
    by_tags = bool(tags) and not files and (item, vector, text) == (None, None, None)
    if by_tags:
        refuse_given(context, ["per", "copies", "exact", "each"], "a query: FILE, --id, --vector or --text")
    here, where, more = host(context), take_filter(chosen), 0
    how: dict[str, Any]
    with contextlib.ExitStack() as stack:
        every_library = [stack.enter_context(Library(name)) for name in dict.fromkeys(libraries)]
        names = {str(each.path): name for each, name in zip(every_library, dict.fromkeys(libraries))}
        opened = every_library if len(every_library) > 1 else every_library[0]
        if by_tags:
            how = {"k": k, "models": models, "host": here, "where": where}
            hits = search_tags(tags, opened, min_score=min_score, **how)
            found = {"": hits}
            if len(hits) < k and (min_score is None or min_score > FLOOR):
                more = len(search_tags(tags, opened, min_score=FLOOR, **how)) - len(hits)
        else:
            queries = _read_queries(files, item, vector, text, each)
            where = dataclasses.replace(where, tags=expand_tags_of(tags, every_library, here))
            how = {"min_score": min_score, "where": where, "per": per, "copies": copies, "exact": exact}
            every = run([*queries.values()], opened, k=k, models=models, host=here, device=device, **how)
            found = dict(zip(queries, every))
            for each_library in every_library:
                _print_recall({space.name: line for space, line in each_library.approximated.items()})
        found = {query: [_named(hit, names) for hit in hits] for query, hits in found.items()}
        labels = sorted({column for each in every_library for column in each.label_columns(ranges=False)})
    columns = hit_columns(labels, several=len(found) > 1, libraries=len(every_library) > 1)
    table.write(columns, lambda: hit_batches(columns, labels, found), objects=lambda: _objects(found))
    if table.shown:
        for name, hits in found.items():
            if len(found) > 1:
                output.echo(f"{printable(name)}:")
            _print_hits(hits)
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


def _named(hit: Hit, names: Mapping[str, str]) -> Hit:
    """Return a hit whose library is named as the user did."""
    return dataclasses.replace(hit, library=names[hit.library]) if hit.library else hit


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


def _objects(found: Mapping[str, Sequence[Hit]]) -> list[dict[str, Any]]:
    """Return the hits of one query, or for each of several its name and its hits."""
    if len(found) == 1:
        return [_hit_json(hit) for hits in found.values() for hit in hits]
    return [{"query": name, "hits": [_hit_json(hit) for hit in hits]} for name, hits in found.items()]


def _hit_json(hit: Hit) -> dict[str, Any]:
    return {
        **({"library": hit.library} if hit.library else {}),
        "id": hit.item.id,
        "path": hit.item.path,
        "root": hit.item.root,
        "file": hit.item.shown,
        "score": round(hit.score, 6),
        "seconds": hit.seconds,
        "recorded": hit.recorded and hit.recorded.isoformat(),
        "query_seconds": hit.query_seconds,
        "labels": {column: list(values) for column, values in hit.labels.items()},
        "spaces": hit.spaces,
        "tag": hit.tag or None,
    }


def _print_hits(hits: list[Hit]) -> None:
    if not hits:
        output.echo("nothing found")
        return
    timed, dated = any(hit.seconds for hit in hits), any(hit.recorded for hit in hits)
    labelled = any(hit.labels for hit in hits)
    several = any(hit.library for hit in hits)
    tagged = any(hit.tag for hit in hits)
    score = "ranks" if any(len(hit.spaces) > 1 for hit in hits) else "score"
    header = [
        *(score, *(["seconds"] if timed else []), *(["recorded"] if dated else []), *(["tag"] if tagged else [])),
        *(*(["library"] if several else []), "id", "path", *(["labels"] if labelled else [])),
    ]
    rows = []
    for hit in hits:
        seconds = [f"{hit.seconds[0]:.2f}-{hit.seconds[1]:.2f}" if hit.seconds else ""] if timed else []
        labels = [", ".join(f"{c}={v}" for c, values in hit.labels.items() for v in values)] if labelled else []
        seconds += [hit.recorded.isoformat(" ", "seconds") if hit.recorded else ""] if dated else []
        tag = [hit.tag] if tagged else []
        library = [hit.library] if several else []
        rows.append([f"{hit.score:.4f}", *seconds, *tag, *library, hit.item.id, hit.item.shown, *labels])
    output.print_table(header, rows)
