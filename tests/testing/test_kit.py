"""The conformance kit: a correct embedder passes every check, and a fault fails its own check and no other."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from faulty_embedders import FAULTS, SOUND, CorrectImage, CorrectSound
from sightsound import Host, UnknownModel, testing
from sightsound.cli import main
from sightsound.plugin import Windows, hookimpl


class Plugin:
    """A plugin of one embedder, registered by hand."""

    def __init__(self, embedder):
        self.embedder = embedder

    @hookimpl
    def register_embedders(self, register):
        register(self.embedder.card, self.embedder)


def host_of(embedder, *stages):
    host = Host(installed=False)
    host.register(Plugin(embedder), "own")
    for stage in stages:
        host.register(stage, type(stage).__name__)
    return host


def failures(embedder, *stages, **options):
    results = testing.check_model(embedder.card.name, host=host_of(embedder, *stages), **options)
    assert [result.check for result in results] == [check.__name__ for check in testing.CHECKS]
    return {result.check: result.reason for result in results if not result.passed}


@pytest.mark.parametrize("embedder", [CorrectSound, CorrectImage])
def test_a_correct_embedder_passes_every_check(embedder):
    assert failures(embedder) == {}


@pytest.mark.parametrize(("embedder", "check", "text"), FAULTS, ids=[row[0].__name__ for row in FAULTS])
def test_a_wrong_embedder_fails_its_own_check_and_no_other(embedder, check, text):
    found = failures(embedder)
    assert list(found) == [check]
    assert text in found[check]


def test_a_card_without_windows_is_checked_on_whole_recordings():
    class Whole(CorrectSound):
        card = dataclasses.replace(SOUND, name="whole.sound", window=None, hop=None)

        def preprocess(self, media, start, last):
            padded = np.pad(media, (0, max(0, 400 - len(media))))[:400]
            return Windows(padded[None], np.array([[0, len(media) / 1000]]), len(media) < 400)

    assert failures(Whole) == {}


def test_a_stage_that_raises_is_a_failed_check_with_its_reason():
    class Raises(CorrectSound):
        def embed(self, inputs):
            raise RuntimeError("no kernel image")

    assert "embed raised RuntimeError: no kernel image" in failures(Raises)["shapes_and_dtypes"]


def test_a_stage_that_returns_nothing_is_a_failed_check():
    class Nothing(CorrectSound):
        def postprocess(self, output):
            pass

    assert "postprocess returned nothing" in failures(Nothing)["shapes_and_dtypes"]


# -- stage plugins, imports, golden files ------------------------------------------------------------------------------


class Rounds:
    """Declares that it does not change the numbers, but rounds them."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return np.round((yield), 1)


class Counts:
    """Does not change the numbers."""

    same_numbers = True

    @hookimpl(wrapper=True)
    def embed(self, embedder, inputs):
        return (yield)


class Doubles(Rounds):
    """Changes the numbers and declares it."""

    same_numbers = False

    @hookimpl(wrapper=True)
    def postprocess(self, embedder, output):
        return np.float32(2) * (yield)


def test_a_stage_plugin_that_breaks_its_same_numbers_is_named():
    found = failures(CorrectSound, Counts(), Rounds(), Doubles())
    assert list(found) == ["same_numbers_plugins_keep_them"]
    assert "stage plugin 'Rounds'" in found["same_numbers_plugins_keep_them"]


def test_stage_plugins_that_keep_the_numbers_or_declare_that_they_change_them_pass():
    assert failures(CorrectSound, Counts(), Doubles()) == {}


def installed(folder, monkeypatch, code):
    """A distribution with one entry point, as pip would install it."""
    (folder / "acme_heavy.py").write_text(code)
    info = folder / "acme_heavy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-heavy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sightsound]\nown = acme_heavy\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@pytest.mark.parametrize(
    "code",
    ["import torch", "def register_embedders(register):\n    import torch"],
    ids=["at the top", "while registering"],
)
def test_a_plugin_that_imports_its_framework_too_early_fails_a_check_that_names_it(tmp_path, monkeypatch, code):
    (tmp_path / "torch.py").write_text("")  # a stand-in: what counts is the name in sys.modules
    installed(tmp_path, monkeypatch, code)
    found = failures(CorrectSound)
    assert list(found) == ["import_is_light"]
    assert (
        "import of acme_heavy: expected no framework, got torch; move its import into load" in found["import_is_light"]
    )


def test_a_light_plugin_passes_the_import_check(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "import numpy")
    assert failures(CorrectSound) == {}


def test_a_golden_file_that_the_model_wrote_agrees(tmp_path):
    testing.write_golden(tmp_path / "correct.npz", "correct.sound", host=host_of(CorrectSound))
    assert failures(CorrectSound, golden=tmp_path / "correct.npz") == {}


def test_a_golden_file_of_other_numbers_is_refused_with_the_distance(tmp_path):
    media = {"hum": np.sin(np.arange(1000, dtype=np.float32))}
    testing.write_golden(
        tmp_path / "other.npz",
        "correct.sound",
        media,
        {"hum": np.ones((4, 8), np.float32)},
        about="the original program",
        host=host_of(CorrectSound),
    )
    found = failures(CorrectSound, golden=tmp_path / "other.npz")
    assert list(found) == ["golden_file_agrees"]
    assert "golden 'hum': expected rows within 0.001, got" in found["golden_file_agrees"]
    assert "made by correct.sound revision 1 (the original program)" in found["golden_file_agrees"]


def test_a_golden_file_of_another_revision_says_to_write_it_anew(tmp_path):
    testing.write_golden(tmp_path / "old.npz", "correct.sound", host=host_of(CorrectSound))

    class Newer(CorrectSound):
        card = dataclasses.replace(SOUND, revision=2)

    found = failures(Newer, golden=tmp_path / "old.npz")
    assert "expected revision 2, got one made by correct.sound revision 1" in found["golden_file_agrees"]


def test_a_file_of_another_kind_is_refused_as_a_golden_file(tmp_path):
    (tmp_path / "notes.npz").write_text("not an archive")
    np.savez(tmp_path / "rows.npz", rows=np.ones(3))
    for name in ("notes.npz", "rows.npz"):
        found = failures(CorrectSound, golden=tmp_path / name)
        assert "golden file: expected a file of testing.write_golden, got" in found["golden_file_agrees"]


# -- how the kit is called ---------------------------------------------------------------------------------------------

test_conformance_is_one_line = testing.conformance("correct.image", host=host_of(CorrectImage))


def test_a_loaded_model_can_be_checked_too():
    host = host_of(CorrectSound)
    assert all(result.passed for result in testing.check_model(host.load("correct.sound"), host=host))


def test_an_unknown_model_is_an_error_and_not_a_result():
    with pytest.raises(UnknownModel, match="no embedder 'wrong"):
        testing.check_model("wrong.sound", host=host_of(CorrectSound))


def test_every_check_has_a_docstring_and_a_wrong_embedder():
    tested = {check for _, check, _ in FAULTS}
    elsewhere = {"import_is_light", "same_numbers_plugins_keep_them", "golden_file_agrees"}
    assert tested | elsewhere == {check.__name__ for check in testing.CHECKS}
    assert all(check.__doc__ for check in testing.CHECKS)


def test_the_media_are_the_same_at_every_call_and_all_different():
    for make in (testing.images, lambda: testing.sounds(SOUND)):
        first, again = make(), make()
        assert all(np.array_equal(first[name], again[name]) for name in first)
        assert len({media.tobytes() for media in first.values()}) == len(first)


def test_generated_sounds_are_mono_float32_within_full_scale():
    for media in testing.sounds(SOUND).values():
        assert media.dtype == np.float32
        assert media.ndim == 1
        assert np.abs(media).max() <= 1


# -- the command -------------------------------------------------------------------------------------------------------


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["check-model", *map(str, arguments)])
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
    assert f"{len(testing.CHECKS)} of {len(testing.CHECKS)} checks passed" in out


def test_the_command_names_what_failed_and_leaves_with_1(own, capsys):
    code, out, _ = command(capsys, "wrong.dim")
    assert code == 1
    assert "postprocess(): expected float32 (6, 8), got (6, 7)" in out


def test_the_command_prints_json_for_programs(own, capsys):
    code, out, _ = command(capsys, "wrong.dim", "--json")
    assert code == 1
    assert [row["check"] for row in json.loads(out) if not row["passed"]] == ["shapes_and_dtypes"]


def test_the_command_takes_a_golden_file(own, capsys, tmp_path):
    testing.write_golden(tmp_path / "correct.npz", "correct.sound", host=host_of(CorrectSound))
    code, out, _ = command(capsys, "correct.sound", "--golden", tmp_path / "correct.npz")
    assert code == 0
    assert "no golden file" not in out


def test_the_command_leaves_with_2_for_an_unknown_model(own, capsys):
    code, _, err = command(capsys, "corect.sound")
    assert code == 2
    assert "did you mean 'correct.sound'?" in err
