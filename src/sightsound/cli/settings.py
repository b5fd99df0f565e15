"""Options that several commands have, and the host that follows from them."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.host.host import Host
    from sightsound.library.filters import Filter
    from sightsound.library.library import Library

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass
class Settings:
    """The options before the command."""

    block: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    verbose: bool = False
    prefer: tuple[str, ...] = ()
    runtime: str = ""


def host(context: click.Context) -> Host:
    """Return a host without the blocked plugins and with the user's weights, and set up logging.

    A program that runs these commands itself can pass its own host as click's `obj`.
    """
    from sightsound.host.host import Host

    if given := context.find_object(Host):
        return given
    settings = context.find_object(Settings) or Settings()
    _set_up_logging(settings.verbose)
    return Host(settings.block, weights=settings.weights, prefer=settings.prefer, runtime=settings.runtime)


class PrintableFormatter(logging.Formatter):
    """Escapes what cannot be printed: a name of a file may contain commands for the terminal, or lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message on one line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Return the traceback, each line escaped."""
        return "\n".join(map(printable, super().formatException(ei).split("\n")))


def _set_up_logging(verbose: bool) -> None:
    warnings.filterwarnings("ignore", module="PIL")  # about metadata; failures are in the outcomes
    log = logging.getLogger("sightsound")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(PrintableFormatter("sightsound: %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)


class _Folder(click.types.StringParamType):
    """The path of a folder, of which an environment variable has one, also with spaces in it."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Return the value of the variable as it is."""
        return [rv]


def _given_once(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str:
    """Return the value of an option. Two are refused: click takes the last one without a word."""
    if len(values) > 1:
        raise click.UsageError(f"{option.opts[-1]}: expected once, got {' and '.join(values)}")
    return values[0]


def library_option() -> Decorator:
    """Return the option for the folder of the library."""
    return click.option(
        "-l",
        "--library",
        required=True,
        multiple=True,
        type=_Folder(),
        callback=_given_once,
        envvar="SIGHTSOUND_LIBRARY",
        metavar="FOLDER",
        help="The library's folder (or SIGHTSOUND_LIBRARY).",
    )


def libraries_option() -> Decorator:
    """Return the option for the folders of one or more libraries."""
    return click.option(
        "-l",
        "--library",
        "libraries",
        required=True,
        multiple=True,
        type=_Folder(),
        envvar="SIGHTSOUND_LIBRARY",
        metavar="FOLDER",
        help="The library's folder (or SIGHTSOUND_LIBRARY); repeat it to search several.",
    )


def _known_device(context: click.Context, option: click.Parameter, name: str) -> str:
    """Return the name of a device. Others are refused also where no network is loaded."""
    from sightsound.contract.execution import require_device

    try:
        require_device(name)
    except SightsoundError as error:
        raise click.UsageError(f"{option.opts[-1]}: {error}") from None
    return name


def device_option() -> Decorator:
    """Return the option for the device."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda|mps",
        callback=_known_device,
        help="Where networks run; cuda:1 is a GPU by its number.",
    )


def refuse_given(context: click.Context, names: Sequence[str], goes_with: str) -> None:
    """Refuse options that would be ignored, where the user gave them.

    Parameters
    ----------
    context : click.Context
        That of the command.
    names : sequence of str
        The parameters of the command that have them.
    goes_with : str
        What they go with.

    Raises
    ------
    click.UsageError
        If one of them was given, on the command line or in the environment.
    """
    from click.core import ParameterSource

    by_user = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) in by_user:
            raise click.UsageError(f"{option.opts[-1]} goes with {goes_with}; leave it out")


def none_below_option() -> Decorator:
    """Return the option for the probability under which a file has none of the classes of a probe."""

    def parse(context: click.Context, parameter: click.Parameter, value: str | None) -> float | str | None:
        try:
            return value if value in (None, "auto") else float(value)
        except ValueError:
            raise click.BadParameter(f"expected auto or a number from 0 to 1, got {value!r}") from None

    text = "No class for a file whose highest probability is under P; auto takes the threshold of the probe."
    return click.option("--none-below", metavar="P|auto", callback=parse, help=text)


Windows = Literal["none", "found", "written"]
"""What a command does with the windows of recordings: finds or writes those that a filter keeps, or writes each with
its labels of time ranges, too."""


def filter_options(*, tags: bool = True, windows: Windows = "found") -> Decorator:
    """Return the options that say which items of a library are meant; `filter_of` makes a filter of them.

    Parameters
    ----------
    tags : bool
        Whether `--tag` is among them; without it `take_filter` makes the filter.
    windows : {"none", "found", "written"}
        What the command does with windows: with "none", `--min-overlap` is refused and not shown.
    """
    options: list[Decorator] = [
        click.option(
            *("--label", "labels"),
            multiple=True,
            metavar="[COLUMN=]VALUE",
            help="Only items with this label, or with a time range that has it; of recordings, only windows there.",
        ),
        click.option(
            "--min-overlap",
            type=click.FloatRange(0, 1, min_open=True),
            metavar="PART",
            hidden=windows == "none",
            help="--label: the part of a time range or a window, whichever is shorter, that must overlap.  [0.5]",
        ),
        click.option("--labelled", multiple=True, **_COLUMN, help="Only items with a label, in COLUMN if it is given."),
        click.option(
            "--unlabelled", multiple=True, **_COLUMN, help="Only items without a label, or without one there."
        ),
        click.option("--modality", type=click.Choice(["image", "sound"]), help="Only images, or only sounds."),
        click.option("--path", "globs", multiple=True, metavar="GLOB", help="Only paths that match."),
        click.option(
            *("--fact", "facts"),
            multiple=True,
            metavar="KEY=VALUE",
            help="Only files with this metadata, such as 'seconds>10'; `sightsound facts` lists them.",
        ),
        click.option("--after", default="", metavar="TIME", help="Only what was recorded on 2026-05-01 or later."),
        click.option("--before", default="", metavar="TIME", help="Only what was recorded earlier."),
        click.option("--hour", "hours", default="", metavar="A-B", help="Only of hours of the day, as 4-6 or 22-4."),
        click.option("--near", default="", metavar="LAT,LON,KM", help="Only from around a place, as 52.5,13.4,10km."),
    ]
    text = "Only what was tagged with this class, or subtree:NAME."
    options += [click.option("--tag", "tags", multiple=True, metavar="CLASS", help=text)] if tags else []

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_COLUMN: dict[str, Any] = {"is_flag": False, "flag_value": "", "metavar": "[COLUMN]"}


_FILTERS = ("labels", "labelled", "unlabelled", "modality", "facts", "after", "before", "hours", "near", "min_overlap")


def take_filter(values: dict[str, Any], *, windows: Windows = "found") -> Filter:
    """Take the values of `filter_options` but for the tags out of those of a command, and return them as a filter.

    Parameters
    ----------
    values : dict of str to object
        The values of the options, which are taken out.
    windows : {"none", "found", "written"}
        What the command does with windows.

    Raises
    ------
    SightsoundError
        If one has another form.
    click.UsageError
        If there is a least overlap of windows that would be ignored.
    """
    from sightsound.library.filters import Filter

    if values["min_overlap"] is not None and (windows == "none" or (windows == "found" and not values["labels"])):
        raise click.UsageError("--min-overlap goes with --label of `search` and `export`, which take windows by it")
    where = Filter(paths=values.pop("globs"), **{k: v for k in _FILTERS if (v := values.pop(k)) is not None})
    where.metadata_test()
    return where


def refuse_filter(values: dict[str, Any]) -> None:
    """Take the same values where no library is read. Raises `click.UsageError` if there are any."""
    given = [values.pop(name) for name in ("globs", *_FILTERS)]
    if any(given):
        raise click.UsageError("--label, --fact, --after and the like go with --library")


def filter_of(
    library: Library, host: Callable[[], Host], chosen: dict[str, Any], *, windows: Windows = "found"
) -> Filter:
    """Return the filter that `filter_options` mean, with tags.

    Parameters
    ----------
    library : Library
        The library.
    host : callable
        Returns the host, which is needed where there are tags.
    chosen : dict of str to object
        The values of the options, which are taken out.
    windows : {"none", "found", "written"}
        As of `take_filter`.
    """
    from sightsound.library.search import expand_tags

    where, tags = take_filter(chosen, windows=windows), chosen.pop("tags")
    return dataclasses.replace(where, tags=expand_tags(tags, library, host()) if tags else ())


def json_option() -> Decorator:
    """Return the option for JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def time_options() -> Decorator:
    """Return the options for how the times in files are read."""
    zone = click.option(
        "--time-zone",
        metavar="ZONE|local",
        help="The zone of times that files state without one, as Europe/Berlin; kept in the library.",
    )
    pattern = click.option(
        "--time-pattern",
        "time_patterns",
        multiple=True,
        metavar="PATTERN",
        help="Times in the names of files, as '%Y-%m-%d_%H-%M'; may be repeated; kept in the library.",
    )
    return lambda command: zone(pattern(command))
