"""What README.md and docs/ show is what happens: commands with the numbers that they print, Python, links."""

from __future__ import annotations

import builtins
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Finished
from documents import PAGES, ROOT, blocks, commands, differences, in_comment

INDEXED = "sightsound index demo/media --library zoo"
SCRIPTS = Path(sys.executable).parent
WITH_COMMANDS = [page for page in PAGES if commands(page)]
WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page.name != "contract.md"]


LONG = ("classify.md", "probes.md", "python.md")
"""Pages whose commands or code take long."""


def names(pages):
    marked = [pytest.param(page, marks=[pytest.mark.slow] * (page.name in LONG)) for page in pages]
    return {"argvalues": marked, "ids": [page.name for page in pages]}


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `demo` with the media that `make demo` makes."""
    place = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        demo = runpy.run_path(str(ROOT / "examples" / "demo.py"))
        demo["media"](Path("demo/media"))
        demo["surfaces"](Path("demo/surfaces"))
    return place / "demo"


@pytest.fixture
def folder(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of one page, with the demo's media in `demo`."""
    shutil.copytree(demo_folder, tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(command: Callable[..., Finished]) -> Callable[[str], Finished]:
    """`run("sightsound index ...")` runs a line of a page, with what is installed here."""

    def words_of(line: str) -> list[str]:
        program, *words = shlex.split(line)
        assert program == "sightsound"
        return words

    return lambda line: command(*words_of(line), plugins=())


@pytest.mark.parametrize("page", **names(WITH_COMMANDS))
def test_the_commands_of_a_page_print_what_it_shows(page, folder, run):
    """A page that does not begin with it takes the library of the first command of the README as made."""
    shown = commands(page)
    if INDEXED not in [each.command for each in shown]:
        assert run(INDEXED).returncode == 0
    for each in shown:
        ran = run(each.command)
        assert ran.returncode == 0, ran.stderr
        if each.lines:
            printed = ran.stdout.replace(f"{folder}/", "").splitlines()
            assert differences(each.lines, printed) == [], f"{each.command}\n{ran.stdout}"


@pytest.mark.parametrize("page", **names(WITH_PYTHON))
def test_the_python_of_a_page_runs_and_prints_what_its_comments_show(page, folder, monkeypatch):
    """A comment after `print(...)` shows one of the texts that it prints; after a colon it explains it."""
    printed: dict[int, list[str]] = {}

    def keep(*values, **_):
        printed.setdefault(sys._getframe(1).f_lineno, []).append(" ".join(map(str, values)))

    monkeypatch.setattr(builtins, "print", keep)
    scope: dict[str, object] = {}
    for block in blocks(page, "python"):
        printed.clear()
        exec(compile(block, page.name, "exec"), scope)
        for number, line in enumerate(block.splitlines(), 1):
            if line.lstrip().startswith("print(") and (comment := re.search(r"\)  # (.*)$", line)):
                assert any(in_comment(text, comment[1]) for text in printed[number]), (line, printed[number])


SAME = [
    ("27 embedded; 108 new vectors in 4.3 s", "27 embedded; 108 new vectors in 0.9 s"),
    ("27 items, 1.7 MB, of zoo", "27 items, 980.1 kB, of zoo"),
    ("0.9591   4  photos/a.png", "0.9602  4   photos/a.png"),
    ("0.00-1.46  Siren  0.69", "0.00-1.48  Siren  0.70"),
    ("gain -1.7 points (-4.2 to +0.0)", "gain -1.6 points (-4.2 to +0.1)"),
    (
        "a  ms an item  points per ms\nx  8.3         -0.13\nn 3",
        "a   ms an item  points per ms\nx   12.4         +0.10\nn 3",
    ),
    ("1\n...\n5", "1\n2\n4\n5"),
]
DIFFERENT = [
    ("27 embedded; 108 new vectors in 4.3 s", "27 embedded; 109 new vectors in 4.3 s"),
    ("27 embedded; 108 new vectors in 4.3 s", "27 embedded; 108 new vectors in some time"),
    ("0.9591   4  photos/a.png", "0.9620   4  photos/a.png"),
    ("0.9591   4  photos/a.png", "0.96   4  photos/a.png"),
    ("0.9591   4  photos/a.png", "0.9591   4  photos/b.png"),
    ("0.00-1.46  Siren  0.69", "0.00-1.49  Siren  0.69"),
    ("0.00-1.46  Siren  0.69", "0.00-1.46  Siren  0.71"),
    ("x (1aac81d86ae9)", "x (1aac81d86ae8)"),
    ("tf_efficientnet_lite0.in1k", "tf_efficientnet_lite1.in1k"),
    ("1\n2", "2\n1"),
    ("1\n2", "1\n2\n3"),
    ("1\n2\n3", "1\n2"),
    ("1\n...\n5", "1\n2\n4"),
    ("a  ms an item\nx  8.3", "a  ms an item\nx  fast"),
    ("x  ms an item\n1  8.3", "x  ms an item\n2  8.3"),
]


@pytest.mark.parametrize(("shown", "printed"), SAME)
def test_times_sizes_and_last_digits_may_differ(shown, printed):
    assert differences(shown.splitlines(), printed.splitlines()) == []


@pytest.mark.parametrize(("shown", "printed"), DIFFERENT)
def test_other_differences_are_found(shown, printed):
    assert differences(shown.splitlines(), printed.splitlines())


@pytest.mark.parametrize(
    ("printed", "comment", "shown"),
    [
        ("(52, 521)", "(52, 521): every class", True),
        ("(52, 521)", "(53, 521): every class", False),
        ("{'a': (1, 2)}", "{'a': (1, 2)}", True),
        ("{'a': (1, 2)}", "{'a': (1, 3)}", False),
        ("0.8934 a.png", "0.89 a.png", True),
        ("0.8934 a.png", "0.91 a.png", False),
        ("cat dog", "cat", False),
    ],
)
def test_a_comment_is_what_is_printed(printed, comment, shown):
    assert in_comment(printed, comment) is shown


def test_every_command_of_the_program_is_in_the_table_and_the_other_way_round():
    ran = subprocess.run([SCRIPTS / "sightsound", "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"^  ([a-z-]+)  ", ran.stdout.partition("Commands:")[2], re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    rows = re.findall(r"^\| (`sightsound .*?) \|", text, re.MULTILINE)
    assert known == {name for name in known if any(re.search(rf"`(sightsound )?{name}\b", row) for row in rows)}
    assert known >= set(re.findall(r"`sightsound ([a-z][a-z-]+)", text))


@pytest.mark.parametrize("page", **names(PAGES))
def test_every_link_of_a_page_leads_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


@pytest.fixture(scope="session")
def run_demo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Run the demo in the same folder each time, and return what it prints."""
    place = tmp_path_factory.mktemp("demo run")

    def once() -> str:
        program = [sys.executable, str(ROOT / "examples" / "demo.py")]
        done = subprocess.run(program, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (place / "demo" / "heard.png").stat().st_size > 10_000
        return done.stdout

    return once


@pytest.fixture(scope="session")
def demo_output(run_demo: Callable[[], str]) -> str:
    """What the first run of the demo prints."""
    return run_demo()


@pytest.mark.slow
def test_the_demo_finds_names_and_hears_what_is_in_its_media(demo_output):
    best = re.findall(r"^   \$ sightsound search .*\n +([\d.]+)  (.+?)(?:   at .*)?$", demo_output, re.MULTILINE)
    assert [path for _, path in best] == ["photos/chelsea.png", "sounds/siren.wav"]
    assert re.search(r"busy line.wav +Telephone", demo_output)
    assert re.search(r"siren.wav +Siren", demo_output) and re.search(r"coffee.png +espresso", demo_output)
    assert re.search(r" 4\.\d\d-10\.\d\d s +0\.\d\d  Music", demo_output)


@pytest.mark.slow
def test_the_demo_embeds_nothing_twice(demo_output, run_demo):
    assert "27 ok" in demo_output
    assert "27 unchanged" in run_demo()
