"""The files that commands write: tables in all their forms, label tracks and figures."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.destinations import check_destinations, check_ending
from sightsound.cli.settings import Decorator
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable

if TYPE_CHECKING:
    from sightsound.contract.results import Classified
    from sightsound.formats.columns import Batch, Column

_ENDINGS = {"json": (".json", ".txt"), "csv": (".csv", ".txt"), "audacity": (".txt", ".tsv"), "raven": (".txt", ".tsv")}
_NO_FORM = "-: expected --csv or --json for standard output, got neither; give one"


@dataclass(frozen=True)
class TableOutput:
    """Where a table goes, and in which forms: the options of `table_options`.

    Parameters
    ----------
    form : {"csv", "json"} or None
        The form for standard output, or for `out`.
    out : str or None
        A file, whose ending says the form where none is given; "-" is standard output, with a form.
    parquet : str or None
        A file for the table as Parquet.
    csv : str or None
        A file for the table as CSV, besides.
    """

    form: str | None = None
    out: str | None = None
    parquet: str | None = None
    csv: str | None = None

    @property
    def shown(self) -> bool:
        """Whether the table is to be printed for people."""
        return not (self.form or self.files)

    @property
    def _file(self) -> str | None:
        return None if self.out == "-" else self.out

    @property
    def files(self) -> list[str]:
        """The files that are written."""
        return [file for file in (self._file, self.parquet, self.csv) if file]

    def or_else(self, other: TableOutput) -> TableOutput:
        """Return this one, or another one if this is what results without options."""
        return other if self == TableOutput() else self

    def check(self, *, inputs: Sequence[PathLike] = (), library: str | None = None) -> None:
        """Refuse what cannot be written, or would replace what is read, before the work begins."""
        from sightsound.formats.writing import require_ending

        if self.out == "-" and not self.form:
            raise SightsoundError(_NO_FORM)
        if self._file and self.form:
            check_ending(self._file, _ENDINGS[self.form], strict=True)
        elif self._file:
            require_ending(self._file)
        if self.parquet:
            require_ending(self.parquet, (".parquet",))
        if self.csv:
            check_ending(self.csv, _ENDINGS["csv"], strict=True)
        files = self.files
        if len(set(map(os.path.abspath, files))) < len(files):
            raise SightsoundError(f"{files[0]}: expected a file for each form, got one for two; name another place")
        for place in files:
            check_destinations(place, inputs=inputs, library=library)

    def write_objects(
        self,
        objects: Sequence[Mapping[str, Any]],
        names: Sequence[str] = (),
        *,
        document: Callable[[], object] | None = None,
    ) -> None:
        """Write a small table of objects in the forms that are wanted.

        Parameters
        ----------
        objects : sequence of mapping
            The rows: key -> value.
        names : sequence of str
            The first columns, also where there is no row; others follow as they come.
        document : callable, optional
            Returns what JSON is instead of the objects.
        """
        from sightsound.formats.columns import batch_of_objects, columns_of

        columns = columns_of(objects, names)
        listed = document or (lambda: list(objects))
        self.write(columns, lambda: [batch_of_objects(columns, objects)], document=listed)

    def write(
        self,
        columns: Sequence[Column],
        batches: Callable[[], Iterable[Batch]],
        *,
        objects: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
        pieces: Callable[[], Iterable[str]] | None = None,
        document: Callable[[], object] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write the table in the forms that are wanted.

        Parameters
        ----------
        columns : sequence of Column
            The columns.
        batches : callable
            Returns the rows, from the first one on.
        objects : callable, optional
            Returns the objects of the form JSON; those of the columns by default.
        pieces : callable, optional
            Returns the text of the form JSON, in pieces.
        document : callable, optional
            Returns what JSON is instead of a list of objects.
        metadata : mapping of str to str, optional
            What holds for the whole table; Parquet keeps it.
        """
        from sightsound.formats.csv_file import csv_text_of
        from sightsound.formats.json_file import json_text_of, objects_of
        from sightsound.formats.writing import write_table

        if self.parquet:
            write_table(self.parquet, columns, batches(), metadata)
        if self.csv:
            output.write_pieces(csv_text_of(columns, batches()), self.csv)
        form = self.form or (Path(self._file).suffix.lower().removeprefix(".") if self._file else None)
        if form == "csv":
            output.write_pieces(csv_text_of(columns, batches()), self._file)
        elif form == "json" and document:
            output.write_text(output.json_text(document()), self._file)
        elif form == "json" and pieces:
            output.write_pieces(pieces(), self._file)
        elif form == "json":
            output.write_pieces(json_text_of(objects() if objects else objects_of(columns, batches())), self._file)
        elif self._file:
            write_table(self._file, columns, batches(), metadata)


def table_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the forms of a table; the function gets them as `table`, a `TableOutput`."""
    return _with_options(function, [*_FORMS, _OUT])


def table_options_without_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `table_options` but for `--out`, which is another file in some commands."""
    return _with_options(function, _FORMS)


def table_of(options: dict[str, Any]) -> TableOutput:
    """Take the values of the options of `table_options` out of those of a command, and return where its table goes."""
    as_csv, as_json = options.pop("as_csv"), options.pop("as_json")
    file = as_csv if isinstance(as_csv, str) and as_csv != _STANDARD_OUTPUT else None
    if as_csv and as_json and not file:
        raise click.UsageError("--json and --csv: expected one of them")
    form = "json" if as_json else "csv" if as_csv and not file else None
    return TableOutput(form, options.pop("table_file", None), options.pop("parquet"), file)


def table_options_of_files(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `table_options`, where `--csv` may have a file, for a command without arguments."""
    text = "CSV instead of a table, or in FILE."
    csv = click.option("--csv", "as_csv", is_flag=False, flag_value=_STANDARD_OUTPUT, metavar="[FILE]", help=text)
    return _with_options(function, [csv, *_FORMS[1:], _OUT])


_STANDARD_OUTPUT = "-"
_FORMS: list[Decorator] = [
    click.option("--csv", "as_csv", is_flag=True, help="CSV instead of a table."),
    click.option("--json", "as_json", is_flag=True, help="JSON instead of a table."),
    click.option("--parquet", metavar="FILE", help="Write the table to a Parquet file."),
]
_OUT: Decorator = click.option(
    *("-o", "--out", "table_file"), metavar="FILE", help="The file to write; .csv, .json and .parquet say the form."
)


def _with_options(function: Callable[..., Any], options: Sequence[Decorator]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*values: Any, **named: Any) -> Any:
        return function(*values, table=table_of(named), **named)

    decorated: Callable[..., Any] = called
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def form_of(out: str, parquet: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the form that the ending of a file says, the file, and the one for Parquet, where no form is given."""
    from sightsound.formats.writing import FORMATS, require_ending

    if out == "-":
        raise SightsoundError(_NO_FORM)
    ending = require_ending(out, FORMATS, "; --audacity and --raven write .txt")
    if ending != ".parquet":
        return ending.removeprefix("."), out, parquet
    if parquet:
        raise SightsoundError(f"{out}: expected one file for Parquet, got {parquet}, too; leave one out")
    return None, None, out


def check(
    form: str | None,
    out: str | None,
    *,
    one: bool,
    plot: str | None,
    wordcloud: str | None,
    parquet: str | None,
    inputs: Sequence[str],
    library: str | None,
) -> None:
    """Refuse what cannot be written before the work begins, and create the folder of several label tracks.

    Parameters
    ----------
    form : {"json", "csv", "audacity", "raven"} or None
        The form of the results.
    out, plot, wordcloud : str or None
        The files to write.
    one : bool
        Whether there is a single file to tag.
    parquet : str or None
        The Parquet file to write.
    library : str or None
        The library that is read.
    inputs : sequence of str
        The files and folders that are read.
    """
    TableOutput(parquet=parquet).check(inputs=inputs, library=library)
    if form == "audacity" and not (one and not (out and os.path.isdir(out))):
        _make_folder(out)
        out = None
    figures = {"plot": plot, "wordcloud": wordcloud}
    endings = _ENDINGS.get(form or "", ())
    check_destinations(out, endings=endings, strict=True, **figures, inputs=inputs, library=library)


def _make_folder(out: str | None) -> None:
    """Create the folder for the label tracks of several recordings."""
    if not out:
        raise SightsoundError("--audacity: expected a folder for the label tracks; name it with --out")
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise SightsoundError(f"{out}: expected a folder ({error.strerror}); name another place") from error


def export(results: Iterable[Classified], form: str, out: str | None) -> None:
    """Write the results in one of the forms to a file, a folder or standard output."""
    from sightsound.classify import export as tables

    if form == "csv":
        output.write_pieces(tables.csv_pieces(results), out)
    elif form == "json":
        output.write_pieces(tables.json_pieces(results), out)
    elif form == "raven":
        output.write_text(tables.raven_table(results), out)
    else:
        kept = list(results)
        images = [tags for tags in kept if tags.outcome.status == "ok" and tags.outcome.seconds is None]
        if len(images) == len(kept) == 1:
            raise SightsoundError(f"{images[0].item}: expected a recording for --audacity, got an image; leave it out")
        if images:
            output.echo(f"{output.count_of(len(images), 'image')} without a label track", err=True)
        _audacity([tags for tags in kept if tags.outcome.status == "ok" and tags.outcome.seconds is not None], out)


def _audacity(kept: Sequence[Classified], out: str | None) -> None:
    from sightsound.classify import export as tables

    if not kept:
        return
    if not (out and os.path.isdir(out)):
        output.write_text(tables.audacity_labels(kept[0].segments), out)
        return
    assert out is not None
    for name, tags in tables.audacity_files(kept, out):
        output.write_text(tables.audacity_labels(tags.segments), os.path.join(out, name))
    output.echo(f"{output.count_of(len(kept), 'label track')} in {printable(out)}")


def write_parquet(results: Iterable[Classified], out: str | None) -> None:
    """Write the results as Parquet, with the columns of CSV, if a file is given for it."""
    if out:
        from sightsound.classify.tag_table import TAG_COLUMNS, tag_batches
        from sightsound.formats.writing import write_table

        write_table(out, TAG_COLUMNS, tag_batches(results))


def draw(kept: Sequence[Classified], plot: str | None, wordcloud: str | None) -> None:
    """Draw a recording, and a word cloud of all of them, where files are given for them."""
    if plot or wordcloud:
        from sightsound.plot.sounds import plot_sound, plot_wordcloud
    if plot:
        for tags in kept:
            if tags.outcome.status == "ok" and tags.outcome.seconds is None:
                raise SightsoundError(f"{tags.item}: expected a recording for --plot, got an image; leave it out")
            if tags.outcome.status == "ok":
                assert tags.outcome.seconds is not None
                plot_sound(tags.item.file, tags.segments, tags.outcome.seconds, plot)
    if wordcloud:
        plot_wordcloud([segment for tags in kept for segment in tags.segments], wordcloud)
