"""`sightsound check-model`: the table of checks, JSON, tracebacks, golden files, and the table of speeds."""

import json

import pytest

from faulty_embedders import CorrectSound
from kit_runs import host_of, installed
from sightsound import testing
from sightsound.cli import main


def command(capsys, *arguments, before=()):
    with pytest.raises(SystemExit) as left:
        main([*before, "check-model", *map(str, arguments)])
    shown = capsys.readouterr()
    return left.value.code, shown.out, shown.err


@pytest.fixture
def own(tmp_path, monkeypatch):
    """`correct.sound` and `WrongDim`'s network as an installed plugin."""
    code = "import dataclasses, faulty_embedders as t\nfrom sightsound.plugin import hookimpl\nclass Bad(t.WrongDim):\n"
    code += "    card = dataclasses.replace(t.SOUND, name='wrong.dim')\n@hookimpl\ndef register_embedders(register):\n"
    code += "    register(t.SOUND, t.CorrectSound)\n    register(Bad.card, Bad)\n"
    installed(tmp_path, monkeypatch, code)


def test_the_command_prints_a_row_for_each_check_and_leaves_with_0(own, capsys):
    code, out, _ = command(capsys, "correct.sound")
    assert code == 0
    assert all(check.__name__.replace("_", " ") in out for check in testing.CHECKS)
    assert "no golden file given" in out
    passed, skipped = (sum(f"  {word}  " in line for line in out.splitlines()) for word in ("ok", "-"))
    assert passed + skipped == len(testing.CHECKS)
    assert out.endswith(f"{passed} of {len(testing.CHECKS)} checks passed, {skipped} skipped\n")


def test_the_command_names_what_failed_and_leaves_with_1(own, capsys):
    code, out, _ = command(capsys, "wrong.dim")
    assert code == 1
    assert "postprocess(): expected float32 (6, 8), got (6, 7)" in out
    assert " checks not run: shapes and dtypes failed first" in out
    assert "1 failed, " in out.splitlines()[-1]
    assert "Traceback" not in out


def test_the_command_prints_json_for_programs(own, capsys):
    code, out, _ = command(capsys, "wrong.dim", "--json")
    assert code == 1
    rows = json.loads(out)
    assert [row["check"] for row in rows if not row["passed"]] == ["shapes_and_dtypes"]
    assert {row["status"] for row in rows} == {"passed", "failed", "skipped"}
    assert set(rows[0]) == {"check", "status", "passed", "reason", "seconds"}


def test_the_command_takes_a_golden_file(own, capsys, tmp_path):
    testing.write_golden(tmp_path / "correct.npz", "correct.sound", host=host_of(CorrectSound))
    code, out, _ = command(capsys, "correct.sound", "--golden", tmp_path / "correct.npz")
    assert code == 0
    assert "no golden file" not in out


def test_the_command_leaves_with_2_for_an_unknown_model(own, capsys):
    code, _, err = command(capsys, "corect.sound")
    assert code == 2
    assert "did you mean 'correct.sound'?" in err


@pytest.mark.parametrize(("before", "behind"), [((), ("--traceback",)), (("-v",), ())])
def test_the_traceback_of_a_failed_check_is_printed_if_it_is_asked_for(own, capsys, before, behind):
    code, out, _ = command(capsys, "wrong.dim", *behind, before=before)
    assert code == 1
    assert "\nshapes and dtypes:\nTraceback (most recent call last):\n" in out
    assert "in shapes_and_dtypes" in out


def test_json_has_the_traceback_if_it_is_asked_for(own, capsys):
    _, out, _ = command(capsys, "wrong.dim", "--json", "--traceback")
    assert ["Traceback" in row["traceback"] for row in json.loads(out) if row["status"] == "failed"] == [True]


@pytest.mark.parametrize("option", ["--weights", "--block", "--runtime"])
def test_an_option_of_sightsound_behind_the_command_is_told_its_place(own, capsys, option):
    code, _, err = command(capsys, "correct.sound", option, "file.npz")
    assert code == 2
    assert f"{option} goes before the command: sightsound {option} ... check-model ..." in err


def test_an_option_that_does_not_exist_is_refused_as_usual(own, capsys):
    code, _, err = command(capsys, "correct.sound", "--gold")
    assert code == 2
    assert "No such option" in err and "--golden" in err


def test_bench_prints_batch_sizes_by_workers_and_marks_the_best(own, capsys, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_THREADS", "2")
    monkeypatch.setattr("sightsound.testing.bench.SECONDS", 0)
    code, out, _ = command(capsys, "correct.sound", "--bench")
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split() == ["batch", "size", "1", "worker", "2", "workers"]
    assert [row.split()[0] for row in rows[:6]] == ["1", "2", "4", "8", "16", "32"]
    assert sum(row.count("*") for row in rows[:6]) == 1
    assert rows[6].startswith("inputs in a second; * is the best: batch_size = ")


def test_bench_prints_json(own, capsys, monkeypatch):
    monkeypatch.setattr("sightsound.testing.bench.SECONDS", 0)
    code, out, _ = command(capsys, "correct.sound", "--bench", "--json")
    assert code == 0
    assert {row["batch_size"] for row in json.loads(out)} == {1, 2, 4, 8, 16, 32}
    assert sum(row["best"] for row in json.loads(out)) == 1


def test_bench_and_golden_exclude_each_other(own, capsys):
    code, _, err = command(capsys, "correct.sound", "--bench", "--traceback")
    assert code == 2
    assert "--bench: expected without --golden and --traceback" in err
