"""plugins/README.md is correct: its quotes equal the files, its code runs in order, its tables are complete."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sightsound import plugin, testing
from sightsound.plugin import Card

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "plugins" / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", GUIDE, re.M | re.S)
QUOTES = [(path, code) for _, path, code in BLOCKS if path]


@pytest.mark.parametrize(("path", "code"), QUOTES, ids=[path for path, _ in QUOTES])
def test_a_quoted_file_is_the_file(path, code):
    assert code == (ROOT / path).read_text()


def test_the_python_blocks_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples" / "acme-logspec" / "src")
    names = {"__name__": "guide"}
    for number, (language, path, code) in enumerate(BLOCKS):
        if language == "python" and not path:
            exec(compile(code, f"plugins/README.md, block {number}", "exec"), names)
    shown = capsys.readouterr().out
    assert "scores_in_range ok" in shown
    for line in re.findall(r"^# (\[.*\])$", GUIDE, re.M):
        assert line in shown


def test_the_first_commands_work_as_they_stand(tmp_path):
    (commands,) = (code for language, _, code in BLOCKS if language == "sh")
    site = tmp_path / "site"
    ours = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),  # a folder of its own instead of the environment that the tests run in
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say "no isolation": setuptools is here, the network may not be
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }
    ran = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=tmp_path, env={**os.environ, **ours}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "birds.acme" in ran.stdout
    assert re.search(rf"\d+ of {len(testing.CHECKS)} checks passed, \d+ skipped\n", ran.stdout)
    assert re.search(r"\d+ passed, \d+ skipped in ", ran.stdout)


def test_the_table_of_the_card_names_every_field():
    table = GUIDE.partition("## The card")[2].partition("## Weights")[0]
    for field in dataclasses.fields(Card):
        assert f"`{field.name}`" in table


def test_the_page_of_types_names_everything_that_a_plugin_can_import():
    table = GUIDE.partition("## Types")[2].partition("## What the host does")[0]
    for name in plugin.__all__:
        assert f"`{name}`" in table


def test_the_table_of_checks_has_every_check_with_its_rule():
    rules = [" ".join(check.__doc__.split()).removeprefix("Check that ").rstrip(".") for check in testing.CHECKS]
    rows = [f"| {check.__name__} | {rule} |" for check, rule in zip(testing.CHECKS, rules, strict=True)]
    assert "\n".join(rows) in GUIDE


def test_every_link_leads_to_a_file_or_a_heading():
    links = re.findall(r"\]\(([^)]+)\)", GUIDE)
    anchors = {f"#{title.lower().replace(' ', '-')}" for title in re.findall(r"^#+ (.+)$", GUIDE, re.M)}
    assert links
    for link in links:
        assert link in anchors or (ROOT / "plugins" / link).exists(), link


def test_the_example_is_small():
    lines = (ROOT / "examples" / "acme-logspec" / "src" / "acme_logspec.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 45
