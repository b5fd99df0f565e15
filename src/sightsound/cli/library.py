"""`sightsound stats`, `check`, `forget` and `relocate`"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sightsound.cli import output
from sightsound.cli.settings import json_option, library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.stats import Stats


_TAGS = 20  # classes that are printed


@click.command()
@library_option()
@json_option()
def stats(library: str, as_json: bool) -> None:
    """Show what is in a library: items, outcomes, spaces, labels, and every file that failed with its reason."""
    from sightsound.library.stats import stats as count

    found = count(library)
    if as_json:
        output.print_json(_plain(found))
    else:
        _print(found)


def _plain(found: Stats) -> dict[str, object]:
    plain = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    plain["spaces"] = [
        {"name": name, "fingerprint": fingerprint, "dim": dim, "vectors": vectors}
        for name, (fingerprint, dim, vectors) in found.spaces.items()
    ]
    for key in ("outcomes", "labels"):
        plain[key] = [[*pair, count] for pair, count in plain[key].items()]
    plain["failed"] = [{"path": o.item.path, "root": o.item.root, "reason": o.reason} for o in found.failed]
    return plain


def _print(found: Stats) -> None:
    click.echo(
        f"{found.items} items, {output.format_size(found.bytes)}, of {', '.join(map(printable, found.roots)) or 'nothing'}"
    )
    if found.spaces:
        rows = [
            (
                name,
                dim,
                vectors,
                output.format_duration(found.seconds[name]) if name in found.seconds else "",
                fingerprint[:12],
            )
            for name, (fingerprint, dim, vectors) in found.spaces.items()
        ]
        output.print_table(["space", "dim", "vectors", "sound", "fingerprint"], rows)
    output.print_table(
        ["outcome", "space", "items"], [(s, space, n) for (space, s), n in sorted(found.outcomes.items())]
    )
    for flag, count in sorted(found.flags.items()):
        click.echo(f"{count} items {flag}")
    if found.labels:
        output.print_table(["column", "label", "items"], [(c, v, n) for (c, v), n in sorted(found.labels.items())])
    if found.tags:
        tags = list(found.tags.items())
        cells = [(label, n, f"{seconds:.1f}" if seconds else "") for label, (n, seconds) in tags[:_TAGS]]
        output.print_table(["tag", "items", "seconds"], cells)
        if len(tags) > _TAGS:
            click.echo(f"... and {len(tags) - _TAGS} more; --json has all")
    for outcome in found.failed:
        click.echo(f"failed: {printable(outcome.item)}: {printable(outcome.reason)}")


@click.command()
@library_option()
@click.pass_context
def check(context: click.Context, library: str) -> None:
    """Verify that a library is sound; exit code 1 where it is not."""
    from sightsound.library.check import check as find_problems

    problems = find_problems(library)
    for problem in problems:
        click.echo(printable(problem))
    click.echo(f"{len(problems)} problems" if problems else "sound: every item, vector and space fits")
    context.exit(1 if problems else 0)


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@library_option()
@click.option("--missing", is_flag=True, help="Forget the items whose files are gone.")
@click.option("--yes", is_flag=True, help="Even where a root is absent or most files are gone.")
@click.option("--space", metavar="NAME", help="Forget a model's vectors: its name, or digits of the fingerprint.")
def forget(paths: Sequence[str], library: str, missing: bool, yes: bool, space: str | None) -> None:
    """Take files or folders, or a model's vectors, out of a library; the files themselves stay."""
    from sightsound.library import maintenance

    if bool(paths) + missing + bool(space) != 1:
        raise click.UsageError("expected one of PATH..., --missing and --space")
    if space:
        click.echo(f"{maintenance.forget_space(space, library)} vectors forgotten")
        return
    gone = maintenance.forget_missing(library, yes=yes) if missing else maintenance.forget(paths, library)
    for item in gone:
        click.echo(f"forgot {printable(item)}")
    click.echo(f"{len(gone)} items forgotten")


@click.command()
@click.argument("old")
@click.argument("new")
@library_option()
def relocate(old: str, new: str, library: str) -> None:
    """Say that the folder OLD is at NEW now, with everything that was indexed in it."""
    from sightsound.library import maintenance

    count = maintenance.relocate(old, new, library)
    click.echo(f"{count} items are below {printable(new)} now")
