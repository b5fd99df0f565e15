"""torchaudio beside a torch that its compiled part does not fit, and where it fits. Each in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sightsound import Host

pytest.importorskip("sightsound_torchaudio.framework", reason="torchaudio is not installed")

FAKE = {
    "fits": "compiled = True",
    "library does not load": "raise OSError('Could not load this library: _torchaudio.so')",
    "torch for another CUDA": "raise RuntimeError('compiled with different CUDA versions')",
    "broken": "import no_such_module",
}
"""What `torchaudio._extension` does in a stand-in for the whole package."""


def run(program: str, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("fits", "ModuleType"),
        ("library does not load", "_NoCompiledPart"),
        ("torch for another CUDA", "_NoCompiledPart"),
        ("broken", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_the_compiled_part_is_stood_in_for_only_if_it_does_not_load(case: str, expected: str, tmp_path: Path) -> None:
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("from . import _extension")
    (package / "_extension.py").write_text(FAKE[case])
    program = (
        "from sightsound_torchaudio.framework import torchaudio\n"
        "from types import ModuleType\n"
        "kind = type(torchaudio._extension) if hasattr(torchaudio, '_extension') else None\n"
        "import sys\n"
        "print(type(sys.modules['torchaudio._extension']).__name__.replace('module', 'ModuleType'))"
    )
    assert run(program, tmp_path) == expected


def test_an_error_behind_the_compiled_part_leaves_no_stand_in(tmp_path: Path) -> None:
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('disk')")
    program = (
        "import sys\n"
        "try:\n    import sightsound_torchaudio.framework\n"
        "except OSError as error:\n    print(error, 'torchaudio._extension' in sys.modules)"
    )
    assert run(program, tmp_path) == "disk False"


def test_what_needs_the_compiled_part_says_so() -> None:
    from sightsound_torchaudio.framework import _NoCompiledPart

    stands_in = _NoCompiledPart("torchaudio._extension")
    assert stands_in._IS_TORCHAUDIO_EXT_AVAILABLE is False

    def forced_align() -> None:
        pass

    with pytest.raises(RuntimeError, match="forced_align: its compiled part does not load"):
        stands_in.fail_if_no_align(forced_align)()
    with pytest.raises(AttributeError, match="no attribute 'load_everything'"):
        stands_in.load_everything  # noqa: B018


def test_without_torchaudio_the_plugin_is_listed_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torchaudio" else find_spec(name, *rest)
    )
    found = {plugin.name: plugin for plugin in Host().plugins}
    assert found["torchaudio"].status == "broken"
    assert "pip install torchaudio" in found["torchaudio"].reason
    assert found["librosa"].status == "ok"
