"""Running `sightsound` for a test: in this process, as fast as a function call, or in a process of its own."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

Finished = subprocess.CompletedProcess[str]
PATHS_OF_THE_USER = os.environ.get("PYTHONPATH", "").split(os.pathsep)


def in_a_process(words: Sequence[str], paths: Sequence[str], given: bytes, seconds: float) -> Finished:
    """Run the command line in a new interpreter, with `paths` before its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    code = "import sys; sys.argv[0] = 'sightsound'; from sightsound.cli import main; main()"
    program = [sys.executable, "-c", code, *words]
    done = subprocess.run(program, env=env, input=given, capture_output=True, timeout=seconds, check=False)
    return Finished(words, done.returncode, done.stdout.decode(), done.stderr.decode())


def in_this_process(words: Sequence[str], paths: Sequence[str], given: bytes) -> Finished:
    """Run the command line here, with what a new interpreter would find; leave nothing of it behind.

    The exit code and the texts are those of `sightsound.cli.main`. What a test cannot see here is what only an
    interpreter of its own has: which modules are imported, signals, closed streams, locks between processes.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment())
        stack.enter_context(_modules_of(paths))
        stack.enter_context(_plain_logging_and_warnings())
        outputs = stack.enter_context(_streams(given))
        code = _exit_code_of_main(words)
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        texts = []
        for output in outputs:
            output.seek(0)
            texts.append(output.read().decode())
    return Finished(words, code, *texts)


def _exit_code_of_main(words: Sequence[str]) -> int:
    from sightsound.cli import main

    before = sys.argv, sys.modules["__main__"]
    sys.argv = ["sightsound", *words]
    sys.modules["__main__"] = types.ModuleType("__main__")  # click names the program by it in usage messages
    try:
        main()
    except SystemExit as left:
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
            return 1
        return left.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.argv, sys.modules["__main__"] = before
    return 0


@contextlib.contextmanager
def _streams(given: bytes) -> Iterator[list[Any]]:
    """Standard input, output and error as files, also for what compiled code writes."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(given)
        files[0].seek(0)
        kept = sys.stdin, sys.stdout, sys.stderr
        for stream in kept[1:]:
            stream.flush()
        duplicates = [os.dup(number) for number in range(3)]
        try:
            for number, file in enumerate(files):
                os.dup2(file.fileno(), number)
            sys.stdin = _text(0, "r")
            sys.stdout, sys.stderr = _text(1, "w"), _text(2, "w", errors="backslashreplace")
            yield files[1:]
        finally:
            sys.stdin, sys.stdout, sys.stderr = kept
            for number, duplicate in enumerate(duplicates):
                os.dup2(duplicate, number)
                os.close(duplicate)


def _text(number: int, mode: str, **options: Any) -> TextIO:
    return open(number, mode, encoding="utf-8", closefd=False, **options)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@functools.cache
def _own_path() -> list[str]:
    """The `sys.path` of a new interpreter, without the current folder and PYTHONPATH."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import os, sys; print(*sys.path[1:], sep=os.pathsep)"
    return subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip().split(os.pathsep)


def _fakes(paths: Sequence[str]) -> set[str]:
    """The names of the modules in those of `paths` that came during the tests."""
    folders = [Path(path) for path in paths if path not in PATHS_OF_THE_USER]
    return {entry.name.partition(".")[0] for folder in folders if folder.is_dir() for entry in folder.iterdir()}


@contextlib.contextmanager
def _modules_of(paths: Sequence[str]) -> Iterator[None]:
    """`sys.path` of a new interpreter after `paths`; the modules in `paths` are imported anew, and forgotten."""
    names = _fakes(paths)

    def taken_out() -> dict[str, types.ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}

    before, path = taken_out(), sys.path[:]
    sys.path[:] = [*paths, *_own_path()]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        taken_out()
        sys.modules.update(before)


@contextlib.contextmanager
def _plain_logging_and_warnings() -> Iterator[None]:
    """Logging and warnings as in a new interpreter, not as pytest sets them."""
    loggers = [logging.getLogger(), logging.getLogger("sightsound")]
    before = [(logger.handlers, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers = []
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = _show_warning
        try:
            yield
        finally:
            for logger, (handlers, level) in zip(loggers, before):
                logger.handlers = handlers
                logger.setLevel(level)


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))
