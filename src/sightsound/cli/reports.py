"""How probes and reports are printed and drawn, and where their labels come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import Decorator
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.dataset import Labels
    from sightsound.learn.predict import Probe
    from sightsound.linear.metrics import ProbeReport
    from sightsound.linear.probe import LinearProbe

SHOWN = 40
"""Classes in a table; --json has all."""


def column_option(*, multiple: bool = False) -> Decorator:
    more = "; repeat it for a probe each" if multiple else ""
    name = "columns" if multiple else "column"
    text = f"The column with the classes{more}.  [label]"
    return click.option("--label-column", name, multiple=multiple, metavar="NAME", help=text)


def label_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where labels, folds and groups come from."""
    options: list[Decorator] = [
        click.option("--label-from", "source", metavar="folder|CSV", help="Labels; those of the library otherwise."),
        click.option("--fold-column", "folds", metavar="NAME", help="A column with official folds."),
        click.option("--group-column", "groups", metavar="NAME", help="A column with what stays together."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def labels(column: str | None = None, several: bool = False, **given: Any) -> Labels:
    from sightsound.learn.dataset import Labels

    return Labels(column=column, several=several, **given)


def probe_of(file: str) -> LinearProbe:
    """The probe in a file. Raises `SightsoundError` for a stack, which is not one probe."""
    from sightsound.linear.stack import Stack, load_probe

    loaded = load_probe(file)
    if isinstance(loaded, Stack):
        raise SightsoundError(
            f"{file}: expected a probe, got a stack; `sightsound probe predict` and `show` take stacks"
        )
    return loaded


def ready(out: str | None, plot: str | None) -> None:
    """What cannot be written shows before the work."""
    from sightsound import _atomic
    from sightsound.plot import sounds

    if out:
        _atomic.check_writable(out)
    sounds.check(plot, None)


def told(loaded: Probe, as_json: bool) -> None:
    """What a probe is, and its report."""
    from sightsound.learn.predict import origins

    if as_json:
        report = loaded.report_.to_json() if loaded.report_ else None
        spaces = [{**origin.to_json(), "fingerprint": origin.space.fingerprint} for origin in origins(loaded)]
        output.dump({"classes": loaded.classes_.tolist(), "spaces": spaces, "report": report, **_strength(loaded)})
        return
    for origin in origins(loaded):
        kind = "windows" if origin.level == "window" else "items"
        place = printable(f"{origin.space.name} ({origin.space.fingerprint[:12]}): {origin.column}")
        click.echo(f"{loaded!r} on {kind} of {place}")
    if loaded.report_ is not None:
        table(loaded.report_)


def draw(report: ProbeReport | None, plot: str | None) -> None:
    """The picture of a report, where one is asked for."""
    if plot:
        from sightsound.plot import reports

        if report is None:
            raise SightsoundError("--plot: expected a probe with a report; fit it without --strength")
        reports.report(report, plot)


def _strength(loaded: Probe) -> dict[str, Any]:
    from sightsound.linear.probe import LinearProbe

    return {"C": loaded.C_, "temperature": loaded.temperature_} if isinstance(loaded, LinearProbe) else {}


def table(report: ProbeReport) -> None:
    """A report for people."""
    rows = [
        (score.label, score.count, f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}")
        for score in report.classes[:SHOWN]
    ]
    output.table(["class", "rows", "precision", "recall", "F1"], rows)
    alone = report.rows == report.groups
    items = f"{report.rows} items" if alone else f"{report.rows} rows, {report.groups} of which are independent"
    click.echo(f"\n{items}, {printable(report.how)}")
    chosen = "" if report.corrected is None else f"; {report.corrected:.3f} after the choice of C is paid for"
    near = "" if report.neighbours is None else f", 5 nearest neighbours {report.neighbours.value:.3f}"
    click.echo(f"accuracy {report.accuracy}{chosen}")
    click.echo(f"macro F1 {report.macro_f1:.3f}; commonest class {report.majority:.3f}{near}")
    click.echo(f"calibration error {report.error:.3f} (without temperature {report.raw_error:.3f})")
    curve(report)
    notes(report.notes)


def reliability(report: ProbeReport | None) -> None:
    """How often rows were right for how sure it was of them."""
    if report is None:
        raise SightsoundError("--reliability: expected a probe with a report; fit it without --strength")
    click.echo()
    rows = [(f"{each.confidence:.3f}", each.count, f"{each.accuracy:.3f}") for each in report.reliability]
    output.table(["probability", "rows", "right"], rows)


def curve(report: ProbeReport) -> None:
    """The learning curve in one line, where there is one."""
    if report.curve:
        points = ", ".join(f"{size}: {mean:.3f}" for size, mean, _, _ in report.curve)
        click.echo(f"accuracy by {'items' if report.rows == report.groups else 'independent items'} a class: {points}")


def notes(found: Sequence[str]) -> None:
    """What was left out, and why."""
    for note in found:
        click.echo(printable(note))
