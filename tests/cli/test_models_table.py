"""`sightsound models --table`: size, accuracy and origin of every network, without its framework."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

import sightsound.cli
import sightsound.cli.models
from sightsound import Card, Host, WeightFile
from sightsound.plugin import hookimpl

FRAMEWORKS = ("torch", "timm", "torchvision", "keras", "cv2", "h5py", "librosa", "onnxruntime")

FILES = {
    "none": (),
    "wheel": (WeightFile(name="a", size=2_000_000, sources=("pypi:acme-net==1.0!acme/net.h5", "https://b.org/net")),),
    "hub": (WeightFile(name="b", sources=("hf:acme/net!model.safetensors",)),),
    "web": (WeightFile(name="c", sources=("https://example.org/net.pth",)),),
    "own": (WeightFile(name="d"),),
    "package": (WeightFile(name="e", size=10, sources=("package:pytest!pytest/py.typed",)),),
    "several": (
        WeightFile(name="f", size=1000, sources=("https://example.org/net.pth",)),
        WeightFile(name="g", size=500, sources=("https://example.org/pca.npz",)),
    ),
}


class Plugin:
    @hookimpl
    def register_embedders(self, register: Callable[..., None]) -> None:
        for number, (kind, files) in enumerate(FILES.items(), start=1):
            card = Card(
                name=f"{kind}.acme",
                modality="image",
                dim=2,
                input_shape=(3, 32, 48),
                weights=files,
                params=1_234_567 * number if kind != "none" else None,
                depth=18 if kind == "hub" else None,
                top1=58.178 if kind == "hub" else None,
                top1_source="its paper" if kind == "hub" else "",
                aliases=(f"acme{kind}", f"acme-{kind}") if kind == "hub" else (),
            )
            register(card, lambda device, weights: None)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    host = Host(installed=False)
    host.register(Plugin(), "acme")
    monkeypatch.setattr(sightsound.cli.models, "host", lambda context: host)
    return lambda *words: CliRunner().invoke(sightsound.cli.cli, ["models", *words])


def test_the_table_has_a_line_for_each_network_from_small_to_large(run: Callable[..., Result]) -> None:
    done = run("--table")
    header, *lines, note = done.output.splitlines()
    assert " ".join(header.split()) == "name also depth size on disk params (M) input top-1 top-1 from weights"
    assert [line.split(".")[0] for line in lines] == list(FILES)
    assert note.startswith("~ is 4 bytes for each parameter")
    cells = dict(zip(FILES, ([cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines)))
    assert cells["none"] == ["none.acme", "3x32x48", "none needed"]
    assert cells["wheel"] == ["wheel.acme", "2.0 MB", "2.47", "3x32x48", "package index: acme-net"]
    assert cells["web"] == ["web.acme", "~19.8 MB", "4.94", "3x32x48", "example.org"]
    assert cells["own"] == ["own.acme", "~24.7 MB", "6.17", "3x32x48", "missing; from your own file (--weights)"]
    assert cells["several"] == ["several.acme", "1.5 kB", "8.64", "3x32x48", "example.org"]
    hub = ["hub.acme", "acmehub, acme-hub", "18", "~14.8 MB", "3.7", "3x32x48", "58.178", "its paper"]
    assert cells["hub"] == [*hub, "huggingface.co/acme/net"]


def test_the_table_in_json_has_exact_numbers(run: Callable[..., Result]) -> None:
    rows = {row["name"].partition(".")[0]: row for row in json.loads(run("--table", "--json").output)}
    assert rows["hub"] == {
        "name": "hub.acme",
        "aliases": ["acmehub", "acme-hub"],
        "modality": "image",
        "depth": 18,
        "bytes": 4 * 3 * 1_234_567,
        "bytes_known": False,
        "params": 3 * 1_234_567,
        "input_shape": [3, 32, 48],
        "sample_rate": None,
        "top1": 58.178,
        "top1_source": "its paper",
        "state": "fetchable",
        "origins": ["huggingface.co/acme/net"],
    }
    assert (rows["wheel"]["bytes"], rows["wheel"]["bytes_known"]) == (2_000_000, True)
    assert [rows[kind]["state"] for kind in ("none", "own", "several")] == ["", "missing", "fetchable"]
    assert rows["package"]["origins"] == ["package pytest"]


def test_the_table_is_of_all_networks(run: Callable[..., Result]) -> None:
    done = run("--table", "hub.acme")
    assert done.exit_code == 2 and "--table is for all networks; leave the name out" in done.output


def test_one_network_has_its_depth_and_accuracy_too(run: Callable[..., Result]) -> None:
    done = run("hub.acme")
    assert done.exit_code == 0, done.output
    fields = dict(line.split(maxsplit=1) for line in done.output.splitlines())
    assert (fields["parameters"], fields["depth"], fields["top-1"]) == ("3,703,701", "18", "58.178 (its paper)")
    assert "depth" not in run("web.acme").output


PROGRAM = f"""
import sys
from sightsound.cli import main
sys.argv = ["sightsound", "models", "--table", "--json"]
try:
    main()
finally:
    print([name for name in {FRAMEWORKS} if name in sys.modules], file=sys.stderr)
"""


def test_the_table_of_the_installed_networks_imports_no_framework() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert run.returncode == 0 and isinstance(json.loads(run.stdout), list)
    assert run.stderr.strip().splitlines()[-1] == "[]"
