"""The command line: each command parses its options, calls one function of sightsound, and prints the result."""

from __future__ import annotations

import builtins
import importlib
import io
import keyword
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

import click

import sightsound
from sightsound.cli.settings import Settings
from sightsound.contract.errors import SightsoundError

COMMANDS = {
    "index": "Embed images and sounds into a library.",
    "search": "Find the most similar items, to the second in sounds.",
    "tag": "Name what is in images and sounds.",
    "label": "Give items labels, or take them from a table.",
    "probe": "Train and apply a classifier of your own classes.",
    "stack": "Combine several networks in one classifier.",
    "finetune": "Train the last layers of a network on your own classes.",
    "advise": "Recommend a method for a labelled collection.",
    "compare": "Compare networks on your own data and machine.",
    "ontology": "Explore AudioSet's 632 kinds of sound.",
    "embed": "Write the embeddings of files to an .npz file.",
    "import": "Take in embeddings that another program made.",
    "merge": "Merge two libraries.",
    "models": "List the networks, or describe one.",
    "plugins": "List the plugins, and why one is blocked or broken.",
    "weights": "List, fetch, verify and remove weight files.",
    "list": "List the items of a library.",
    "export": "Write the vectors of a library to a file.",
    "stats": "Show what is in a library.",
    "facts": "Read again when, where and with what files were made.",
    "check": "Verify that a library is intact.",
    "forget": "Remove files or vectors from a library.",
    "relocate": "Tell a library that a folder has moved.",
    "compact": "Give back the room of what was removed.",
    "copy": "Copy a library, also while it is written to.",
    "migrate": "Bring a library to the present format.",
    "index-build": "Build an approximate index for large libraries.",
    "duplicates": "Find files that look or sound the same.",
    "import-model": "Make a model of a network in a file.",
    "remove-model": "Remove a model that was imported.",
    "export-model": "Write a network to a file for other programs.",
    "check-model": "Check that a network keeps to the contract.",
    "new-plugin": "Write the package of a new plugin.",
}
"""What each command does, in the order of `--help`. Each is in the module of `module_name`."""
_CLOSED_PIPE = 141
"""The exit code where the reader of the output has left, as a shell reports it for SIGPIPE."""
_NO_THREAD = "cannot start a thread (memory or processes are limited); set SIGHTSOUND_THREADS=1, or raise the limit"


def module_name(command: str) -> str:
    """Return the name of the module, and of the function in it, of a command.

    A keyword, or the name of a built-in function, which the module would hide in this one, gets an underscore.
    """
    name = command.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) or hasattr(builtins, name) else name


class _Commands(click.Group):
    """The commands. The module of a command is imported when the command is used, and not for the list of all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = module_name(cmd_name)
        command: click.Command = getattr(importlib.import_module(f"sightsound.cli.{name}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sightsound.__version__, prog_name="sightsound")
@click.option("--block", multiple=True, metavar="PLUGIN", help="A plugin not to use; may be repeated.")
@click.option(
    "--weights",
    multiple=True,
    metavar="[NAME=]PATH",
    help="Your own weight file, or a folder with such files; may be repeated.",
)
@click.option(
    "--prefer",
    multiple=True,
    metavar="PLUGIN",
    help="A plugin that gets names that several claim; may be repeated.",
)
@click.option("--runtime", default="", metavar="NAME|auto|none", help="The runtime that runs networks, see `plugins`.")
@click.option("-v", "--verbose", is_flag=True, help="Log to standard error, with tracebacks.")
@click.pass_context
def cli(
    context: click.Context,
    block: Sequence[str],
    weights: Sequence[str],
    prefer: Sequence[str],
    runtime: str,
    verbose: bool,
) -> None:
    """Index, search, tag and classify images and sounds.

    Start with `sightsound index PHOTOS --library zoo`, then `sightsound search cat.jpg --library zoo`.
    """
    blocked, preferred = (tuple(part.strip() for t in texts for part in t.split(",")) for texts in (block, prefer))
    context.obj = Settings(blocked, tuple(weights), verbose, preferred, runtime)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit with 0, 1 (some items failed), 2 (a mistake of the user) or 130 (^C).

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after `sightsound`. Those of the process by default.
    """
    _open_closed_streams()
    standard_output = sys.stdout
    try:
        code = cli.main(None if arguments is None else list(arguments), standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except SystemExit:
        if sys.stdout is not standard_output:  # click has replaced it, since its reader is gone
            sys.exit(_CLOSED_PIPE)
        raise
    except SightsoundError as error:
        _tell(f"sightsound: {_one_line(error)}")
        sys.exit(2)
    except MemoryError as error:
        _report_memory(error)
        sys.exit(2)
    except click.ClickException as error:
        _show(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        _tell("; ".join(["sightsound: stopped", *_what_is_kept(error)]))
        sys.exit(130)
    except RuntimeError as error:  # not before click.Abort, which is one too
        if "can't start new thread" not in str(error):
            raise
        _tell(f"sightsound: {_NO_THREAD}")
        sys.exit(2)
    except OSError as error:
        if not _is_of_standard_output(error):
            raise  # an error of a file must be handled where the file is known
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader of the output has closed it, as `head` does
            sys.exit(_CLOSED_PIPE)
        _report_unwritable(error)
        sys.exit(2)


def _open_closed_streams() -> None:
    """Give streams that are closed or absent the null device: a file that is opened must not take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _show(error: click.ClickException) -> None:
    """Print a mistake in the options. What the user typed may be the names of files, with control characters."""
    error = _with_place(error)
    text = io.StringIO()
    error.show(file=text)
    _tell(text.getvalue().rstrip("\n"))


def _tell(text: str) -> None:
    """Print to standard error if it can be written; the exit code tells what happened in any case."""
    from sightsound.cli.output import echo

    try:
        echo(text, err=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Give up a stream that cannot be written, since Python writes what is left in its buffer at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _with_place(error: click.ClickException) -> click.ClickException:
    """Say where an option belongs that `sightsound` itself has, and that was given behind the command."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or error.ctx.parent is None:
        return error
    name = error.option_name
    if not any(name in each.opts for each in cli.params):
        return error
    text = f"{name} goes before the command: sightsound {name} ... {error.ctx.info_name} ..."
    return click.UsageError(text, error.ctx)


def _is_of_standard_output(error: OSError) -> bool:
    """Return whether an error was raised where a command prints, and not where it reads or writes a file."""
    from sightsound.cli.output import print_line

    printing = {click.echo.__code__, print_line.__code__}
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_code is main.__code__ or any(frame.f_code in printing for frame in frames)


def _what_is_kept(error: BaseException) -> list[str]:
    """Return what a command says that it keeps when it is interrupted. Click hides the interrupt behind its own."""
    interrupt = error if isinstance(error, KeyboardInterrupt) else error.__cause__
    return [str(text) for text in interrupt.args] if isinstance(interrupt, KeyboardInterrupt) else []


def _report_unwritable(error: OSError) -> None:
    reason = f"standard output cannot be written ({error.strerror}); make room, or use --out"
    _tell(f"sightsound: {reason}")
    _discard(sys.stdout)


def _report_memory(error: MemoryError) -> None:
    """Print what did not fit in memory, as far as a note of the error says so."""
    notes = getattr(error, "__notes__", None) or ["out of memory; close other programs, or name fewer or smaller files"]
    reason = f" ({_one_line(error)})" if str(error) else ""
    click.echo(f"sightsound: {_one_line(notes[0])}{reason}", err=True)


def _one_line(error: object) -> str:
    from sightsound.contract.paths import printable

    return printable(" ".join(str(error).split()))
