"""The command line: parse, call one library function, print; no logic here."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

import sightsound
from sightsound.cli.settings import Settings
from sightsound.contract.errors import SightsoundError

_COMMANDS = {
    "index": "index:index",
    "search": "search:search",
    "tag": "tag:tag",
    "probe": "probe:probe",
    "stack": "stack:stack",
    "advise": "stack:advise",
    "ontology": "ontology:ontology",
    "embed": "embed:embed",
    "models": "models:models",
    "plugins": "models:plugins",
    "weights": "weights:weights",
    "stats": "library:stats",
    "check": "library:check",
    "forget": "library:forget",
    "relocate": "library:relocate",
    "check-model": "check_model:check_model",
}


class _Commands(click.Group):
    """Commands in the order of use; a command's module is read when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"sightsound.cli.{module}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sightsound.__version__, prog_name="sightsound")
@click.option("--block", multiple=True, metavar="PLUGIN", help="Leave a plugin out; may be repeated.")
@click.option(
    "--weights",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Your own weight file, or a folder to look in; may be repeated.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log what goes on to stderr, tracebacks included.")
@click.pass_context
def cli(context: click.Context, block: Sequence[str], weights: Sequence[str], verbose: bool) -> None:
    """Embeddings of pictures and sounds: index folders, search by likeness, manage networks.

    Start with `sightsound index PHOTOS --library zoo`, then `sightsound search cat.jpg --library zoo`.
    """
    context.obj = Settings(tuple(part.strip() for text in block for part in text.split(",")), tuple(weights), verbose)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and leaves with 0, 1 (some items failed), 2 (the user's mistake) or 130 (^C)."""
    try:
        code = cli.main(None if arguments is None else list(arguments), standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except SightsoundError as error:
        click.echo(f"sightsound: {_shown(error)}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("sightsound: stopped; what was committed is kept, the same command goes on from there", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left early, as `head` does
        sys.exit(141)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise  # of a file, which is our mistake
        click.echo(
            f"sightsound: standard output cannot be written ({error.strerror}); make room, or use --out", err=True
        )
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer fails again
        sys.exit(2)


def _shown(error: SightsoundError) -> str:
    from sightsound.contract.paths import printable

    return printable(" ".join(str(error).split()))
