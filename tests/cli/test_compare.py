"""`sightsound compare`: what it prints and writes, what fails, and what ^C leaves."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sys
import time

import pytest

import made

pytestmark = pytest.mark.usefixtures("few_strengths")

NUMBER = r"\d+\.\d \(\d+\.\d to \d+\.\d\)"


@pytest.fixture
def sounds(tmp_path):
    """A folder with six recordings in each of `quiet` and `loud`."""
    for kind, name in enumerate(("quiet", "loud")):
        for i in range(6):
            made.write_rhythm(tmp_path / "sounds" / name / f"{i}.wav", kind, 10 * kind + i)
    return tmp_path / "sounds"


def test_a_comparison_is_printed_drawn_and_written_in_every_form(command, sounds, tmp_path):
    files = {form: tmp_path / f"zoo.{form}" for form in ("csv", "json", "md", "png", "svg")}
    words = ("--models", "loudness.tiny,loudness.tiny@none", "--data", sounds, "--repeats", "1")
    forms = ("--csv", files["csv"], "--json", files["json"], "--markdown", files["md"])
    done = command("compare", *words, *forms, "--out-plot", files["png"])
    assert (done.returncode, done.stderr) == (0, "")
    header, first, second, *rest = done.stdout.splitlines()
    assert header.split("  ")[0] == "network" and "top-5" not in header, "columns without a value are not shown"
    assert re.match(rf"loudness.tiny +{NUMBER} +{NUMBER} +{NUMBER} +\d", first)
    assert second.startswith("loudness.tiny@none ")
    assert rest[0] == "12 sounds of 2 classes in sounds; commonest class 50.0 %; intervals of 95 % over items"
    assert rest[1].startswith("time of the network for an item, relative to the fastest; measured once; ")
    assert rest[2] == "loudness.tiny, loudness.tiny@none: cpu, float32, 2 workers of 1 thread, batches of 8"
    found = json.loads(files["json"].read_text())
    assert [each["name"] for each in found["models"]] == ["loudness.tiny", "loudness.tiny@none"]
    for each in found["models"]:
        assert each["memory"] > 5_000_000 and each["network_ms"] > 0 and each["total_ms"] > 0
        assert each["probe"]["low"] <= each["probe"]["value"] <= each["probe"]["high"] and each["matched"] == 2
    assert min(each["relative_network"] for each in found["models"]) == 1
    table = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    assert float(table[0]["probe"]) == pytest.approx(found["models"][0]["probe"]["value"], abs=1e-6)
    assert table[0]["runs"] == "cpu, float32, 2 workers of 1 thread, batches of 8"
    assert files["md"].read_text().startswith("| network | linear probe, % |")
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    plot = ("--out-plot", files["svg"], "--accuracy", "top1", "--time", "total")
    done = command("compare", *words, "--json", *plot, "-o", tmp_path / "o.json")
    assert json.loads((tmp_path / "o.json").read_text())["items"] == 12 and "<svg" in files["svg"].read_text()
    assert done.stdout.startswith("network ")


def test_a_network_that_fails_and_a_bad_file_are_named_with_exit_code_1(command, shades):
    done = command("compare", "-m", "nonsense,colours.tiny", "-d", shades, "--repeats", "1")
    assert done.returncode == 1
    assert re.search(r"^nonsense +failed", done.stdout, re.M) and re.search(r"^colours.tiny +\d", done.stdout, re.M)
    assert done.stderr.startswith("nonsense: no embedder 'nonsense'") and done.stderr.count("\n") == 1
    (shades / "red" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    done = command("compare", "-m", "colours.tiny", "-d", shades, "--repeats", "1")
    assert done.returncode == 1 and "36 images of 3 classes" in done.stdout
    assert "\nred/bad.png: failed (" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_settings_of_the_command_line_reach_the_process_of_a_network(command, shades, tmp_path):
    words = ("compare", "-m", "colours.tiny", "-d", shades, "--repeats", "1", "--json")
    plugins = ("tiny", "numpyrun")
    done = command(*words, plugins=plugins, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert json.loads(done.stdout)["models"][0]["execution"]["runtime"] == "numpyrun"
    done = command("--runtime", "none", *words, plugins=plugins)
    assert json.loads(done.stdout)["models"][0]["execution"]["runtime"] == ""
    done = command("--block", "numpyrun", *words[:2], "colours.tiny@numpyrun,colours.tiny", *words[3:], plugins=plugins)
    first, second = json.loads(done.stdout)["models"]
    assert first["reason"].startswith("no runtime 'numpyrun'") and second["execution"]["runtime"] == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "colours.tiny", "-d", "gone"), "gone: no such file or folder"),
        (("-m", "colours.tiny", "-d", "empty"), "empty: expected a folder of images for each class, got no files"),
        (("-m", "colours.tiny,loudness.tiny", "-d", "empty"), "models: expected all for images or all for sounds"),
        (("-m", "nonsense", "-d", "empty"), "no embedder 'nonsense'"),
        (("-m", "colours.tiny", "-d", "empty", "--csv", "a.png"), "a.png: expected a name that ends in .csv or .txt"),
        (("-m", "colours.tiny", "-d", "empty", "--out-plot", "a.xyz"), "a.xyz: Format 'xyz' is not supported"),
        (("-m", "colours.tiny", "-d", "empty", "--csv", "a.txt", "--json", "a.txt"), "expected a file for each form"),
        (("-m", "colours.tiny", "-d", "empty", "--csv", "--json"), "standard output: expected one form, got several"),
        (("-m", "colours.tiny", "-d", "empty", "--json", "no/a.json"), "no/a.json: cannot be written"),
        (("-m", "colours.tiny", "-d", "empty", "-o", "a.docx"), "ends in .csv, .json, .md or .parquet"),
        (("-m", "colours.tiny", "-d", "empty", "-o", "a.csv", "--csv", "b.csv"), "got two for csv; leave one out"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, monkeypatch, words, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = command("compare", *words)
    assert done.returncode == 2 and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_stopping_it_leaves_no_file_and_no_process(install, shades, tmp_path):
    place = tmp_path / "place"
    (place / "temporary").mkdir(parents=True)
    words = ("compare", "-m", "colours.tiny", "-d", shades, "--csv", place / "a.csv", "--out-plot", place / "a.png")
    environment = {"TINY_SECONDS": "60", "TMPDIR": str(place / "temporary")}
    running = made.start_command(install("tiny"), *words, **environment)
    try:
        children = []
        deadline = time.monotonic() + 60
        while not (children := child_processes(running.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)  # the child begins to embed
        running.send_signal(signal.SIGINT)
        _, text = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, text.strip()) == (130, "sightsound: stopped")
    assert children and not [child for child in children if os.path.exists(f"/proc/{child}")]
    assert sorted(os.listdir(place)) == ["temporary"] and os.listdir(place / "temporary") == []


def child_processes(parent: int) -> list[int]:
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as file:
            return [int(number) for number in file.read().split()]
    except OSError:
        return []
