"""`sightsound.embed`: rows in a loop, a matrix in one call, and a warning for what cannot be read."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

import sightsound
from made import ordinary_user, register_variant, write_image, write_sound
from pipeline_runs import breaks_off, running_threads
from sightsound import SightsoundError, embed, media, save_embeddings
from sightsound.contract.errors import MediaError, PluginError, UnknownModel


@pytest.fixture
def zoo(tmp_path):
    folder = tmp_path / "zoo"
    for i in range(4):
        write_image(folder / f"{i}.png", i)
    for i in range(3):
        write_sound(folder / f"{i}.wav", i, seconds=1 + i)
    return folder


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def expected(tiny, file):
    model = tiny.load("loudness.tiny" if file.suffix == ".wav" else "colours.tiny")
    return model.rows(media.read_sound(file, 1600) if file.suffix == ".wav" else media.read_image(file).pixels)


def wavs(zoo):
    return [zoo / f"{i}.wav" for i in range(3)]


def pngs(zoo):
    return [zoo / f"{i}.png" for i in range(4)]


# -- rows --------------------------------------------------------------------------------------------------------


def test_rows_carry_item_seconds_embedding_and_scores(tiny, zoo):
    rows = list(embed(wavs(zoo), "loudness.tiny", host=tiny))
    assert [row.item.path for row in rows] == ["0.wav"] + ["1.wav"] * 3 + ["2.wav"] * 5
    for file in wavs(zoo):
        spans, embeddings, scores = expected(tiny, file)
        mine = [row for row in rows if row.item.path == file.name]
        assert [row.seconds for row in mine] == [tuple(span) for span in spans.tolist()]
        np.testing.assert_array_equal([row.embedding for row in mine], embeddings)
        np.testing.assert_array_equal([row.scores for row in mine], scores)
    assert rows[0].embedding.dtype == np.float32 and rows[0].embedding.shape == (17,)


def test_pictures_have_neither_seconds_nor_scores_without_a_classifier(tiny, zoo):
    rows = list(embed(pngs(zoo), "colours.tiny", host=tiny))
    assert [(row.seconds, row.scores) for row in rows] == [(None, None)] * 4


def test_one_path_as_text_is_enough_and_folders_are_walked(tiny, zoo):
    (zoo / "0.wav").rename(zoo.parent / "0.wav")
    assert [row.item.path for row in embed(str(zoo.parent / "0.wav"), "loudness.tiny", host=tiny)] == ["0.wav"]
    with pytest.warns(UserWarning, match=r"\.wav: not-media"):
        assert len(list(embed(zoo, "colours.tiny", host=tiny))) == 4


def test_nothing_is_read_before_the_first_row(tiny, zoo):
    rows = embed(zoo / "0.png", "nonsense", host=tiny)
    (zoo / "0.png").unlink()
    with pytest.raises(UnknownModel, match="no embedder 'nonsense'"):
        next(iter(rows))


def test_a_path_that_does_not_exist_is_refused_at_once(tiny, zoo):
    with pytest.raises(SightsoundError, match="nowhere: no such file or folder"):
        embed(zoo / "nowhere", "colours.tiny", host=tiny)


def test_every_pass_reads_the_files_anew(tiny, zoo):
    rows = embed(pngs(zoo), "colours.tiny", host=tiny)
    first = rows.matrix()
    np.testing.assert_array_equal(rows.matrix(), first)
    write_image(zoo / "1.png", 88)
    assert (rows.matrix() != first).any(axis=1).tolist() == [False, True, False, False]
    assert len(rows.outcomes) == 4


def test_outcomes_say_what_became_of_each_file(tiny, zoo):
    rows = embed(wavs(zoo), "loudness.tiny", host=tiny)
    assert rows.outcomes == []
    list(rows)
    assert [(outcome.item.path, outcome.status, outcome.seconds) for outcome in rows.outcomes] == [
        ("0.wav", "ok", 1),
        ("1.wav", "ok", 2),
        ("2.wav", "ok", 3),
    ]


def test_leaving_the_loop_early_stops_the_threads(tiny, zoo):
    long = [write_sound(zoo / f"long{i}.wav", i, seconds=60) for i in range(12)]
    for row in embed(long, "loudness.tiny", host=tiny):
        assert row.item.path == "long0.wav"
        break
    assert running_threads() == []


def test_without_a_model_the_default_one_of_the_first_file_is_used(tiny, zoo):
    (zoo / "a text").write_text("hello")
    with pytest.raises(UnknownModel, match="no plugin in use has a default model for sounds; install one"):
        list(embed([zoo / "a text", zoo / "0.wav", zoo / "0.png"], host=tiny))
    with pytest.raises(MediaError, match="a text: expected at least one image or sound among 1 files"):
        list(embed(zoo / "a text", host=tiny))


def test_the_public_name_is_the_function(tiny, zoo):
    assert sightsound.embed is embed and "embed" in dir(sightsound)


# -- the matrix --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_matrix_has_a_row_for_each_file_in_order(tiny, zoo, pool):
    files = wavs(zoo)[::-1]
    found = embed(files, "loudness.tiny", host=tiny).matrix(pool=pool)
    assert found.shape == (3, 17) and found.dtype == np.float32
    by_hand = [getattr(expected(tiny, file)[1], pool)(axis=0) for file in files]
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)


def test_a_matrix_without_pooling_has_a_row_for_each_window(tiny, zoo):
    found = embed(wavs(zoo), "loudness.tiny", host=tiny, batch_size=2).matrix(pool=None)
    np.testing.assert_array_equal(found, np.concatenate([expected(tiny, file)[1] for file in wavs(zoo)]))


def test_a_file_that_is_named_twice_has_two_rows(tiny, zoo):
    """Or else the rows would no longer stand beside the caller's labels."""
    files = [zoo / "0.png", zoo / "1.png", zoo / "0.png"]
    assert embed(files, "colours.tiny", host=tiny).matrix().shape == (3, 48)


def test_a_matrix_of_nothing_is_refused(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SightsoundError, match="nothing to embed: no files; name a file or a folder with files in it"):
        embed(tmp_path / "empty", "colours.tiny", host=tiny).matrix()
    assert list(embed(tmp_path / "empty", "colours.tiny", host=tiny)) == []


def test_a_matrix_raises_what_a_file_failed_with_and_notes_the_file(tiny, zoo):
    (zoo / "1.png").write_bytes((zoo / "1.png").read_bytes()[:60])
    failing = pytest.warns(UserWarning, match="failed")
    with failing, pytest.raises(MediaError, match="cannot read image") as caught:
        embed(pngs(zoo), "colours.tiny", host=tiny).matrix()
    assert caught.value.__notes__ == ["while embedding 1.png with colours.tiny"]

    def embed_badly(inner, inputs):
        raise ValueError("always")

    name = register_variant(tiny, "bad.tiny", "loudness.tiny", embed=embed_badly)
    failing = pytest.warns(UserWarning, match="failed")
    with failing, pytest.raises(PluginError, match="embed of bad.tiny .plugin bad.: ValueError: always") as caught:
        embed(zoo / "0.wav", name, host=tiny).matrix()
    assert caught.value.__notes__ == ["while embedding 0.wav with bad.tiny"]


def test_a_recording_without_samples_has_no_row_in_a_matrix(tiny, zoo):
    import soundfile

    soundfile.write(zoo / "none.wav", np.zeros(0, np.float32), 1600)
    with (
        pytest.warns(UserWarning, match=r"none.wav: no-windows \(no samples\)"),
        pytest.raises(MediaError, match="none.wav: no samples"),
    ):
        embed([zoo / "0.wav", zoo / "none.wav"], "loudness.tiny", host=tiny).matrix()


# -- what cannot be read -----------------------------------------------------------------------------------------


def test_a_file_that_fails_gives_a_warning_and_the_others_their_rows(tiny, zoo):
    (zoo / "1.png").write_bytes((zoo / "1.png").read_bytes()[:60])
    rows = embed(pngs(zoo), "colours.tiny", host=tiny)
    with pytest.warns(UserWarning, match=r"^1.png: failed \(cannot read image") as caught:
        assert [row.item.path for row in rows] == ["0.png", "2.png", "3.png"]
    assert len(caught) == 1
    assert Path(caught[0].filename) == Path(__file__), "the line of the caller, not one of ours"


def test_a_picture_for_a_sound_model_is_a_warning(tiny, zoo):
    with pytest.warns(UserWarning, match=r"0.png: not-media \(PNG is not a sound"):
        assert len(list(embed([zoo / "0.png", zoo / "0.wav"], "loudness.tiny", host=tiny))) == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_read_is_a_warning_too(tiny):
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        write_image(Path(name, "in", "shut", "a.png"))
        write_image(Path(name, "in", "b.png"), 1)
        os.chmod(Path(name, "in", "shut"), 0)
        with ordinary_user(), pytest.warns(UserWarning, match="shut: .*cannot read folder"):
            list(embed(Path(name, "in"), "colours.tiny", host=tiny))
        os.chmod(Path(name, "in", "shut"), 0o755)


# -- the file ----------------------------------------------------------------------------------------------------


def test_saved_rows_come_back(tiny, zoo, tmp_path):
    assert save_embeddings(embed(wavs(zoo), "loudness.tiny", host=tiny), tmp_path / "rows.npz") == 9
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as found:
        assert found["embeddings"].dtype == np.float32 and found["embeddings"].shape == (9, 17)
        assert found["paths"].tolist() == ["0.wav"] + ["1.wav"] * 3 + ["2.wav"] * 5
        assert set(found["roots"].tolist()) == {str(zoo)}
        assert found["scores"].shape == (9, 2)
        np.testing.assert_array_equal(found["seconds"], np.concatenate([expected(tiny, f)[0] for f in wavs(zoo)]))
    assert [path.name for path in tmp_path.iterdir() if "npz" in path.name] == ["rows.npz"]


def test_an_old_file_stays_when_saving_fails(tiny, zoo, tmp_path):
    (tmp_path / "rows.npz").write_text("old")
    (zoo / "text").write_text("hello")
    with (
        pytest.warns(UserWarning, match="text: not-media"),
        pytest.raises(SightsoundError, match="nothing to save: no file gave an embedding; text: "),
    ):
        save_embeddings(embed(zoo / "text", "colours.tiny", host=tiny), tmp_path / "rows.npz")
    assert (tmp_path / "rows.npz").read_text() == "old"
    with pytest.raises(SightsoundError, match="cannot be written"):
        save_embeddings(embed(zoo / "0.png", "colours.tiny", host=tiny), tmp_path / "nowhere" / "rows.npz")


def test_a_recording_that_fails_late_leaves_no_rows_in_the_file(tiny, zoo, tmp_path):
    broken = breaks_off(zoo / "long.wav", 600)
    with pytest.warns(UserWarning, match="long.wav: failed"):
        assert len(list(embed(broken, "loudness.tiny", host=tiny))) > 100, "rows came before the recording failed"
    rows = embed([zoo / "0.wav", broken, zoo / "1.wav"], "loudness.tiny", host=tiny)
    with pytest.warns(UserWarning, match="long.wav: failed"):
        assert save_embeddings(rows, tmp_path / "rows.npz") == 4
    with np.load(tmp_path / "rows.npz") as found:
        assert found["paths"].tolist() == ["0.wav", "1.wav", "1.wav", "1.wav"]
        assert all(len(found[name]) == 4 for name in ("embeddings", "scores", "seconds", "roots"))


def test_names_that_are_not_utf8_are_saved(tiny, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        write_image(tmp_path / "in" / name)
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    save_embeddings(embed(tmp_path / "in", "colours.tiny", host=tiny), tmp_path / "rows.npz")
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as found:
        assert found["paths"].tolist() == [name]


def test_the_command_names_files_that_fail_and_exits_with_1(command, zoo, tmp_path):
    (zoo / "1.png").write_bytes((zoo / "1.png").read_bytes()[:60])
    out = tmp_path / "rows.npz"
    done = command("embed", *pngs(zoo), "-m", "colours.tiny", "-o", out)
    assert done.returncode == 1 and done.stdout.splitlines()[0] == f"3 rows of 3 files in {out}"
    assert done.stderr.startswith("1.png: cannot read image") and len(done.stderr.splitlines()) == 1
    assert command("embed", zoo / "0.png", "-m", "colours.tiny", "-o", out).returncode == 0
    none = command("embed", zoo / "1.png", "-m", "colours.tiny", "-o", out)
    assert none.returncode == 2 and none.stderr.startswith("sightsound: nothing to save")


def test_saved_rows_are_what_the_library_stores(tiny, zoo, tmp_path):
    from sightsound import Library, index

    index(wavs(zoo), tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    save_embeddings(embed(wavs(zoo), "loudness.tiny", host=tiny), tmp_path / "rows.npz")
    with Library(tmp_path / "lib") as library, np.load(tmp_path / "rows.npz") as found:
        (space,) = library.spaces
        assert json.loads(space.facts)["dim"] == 17
        stored = [library.vectors(space, library.content(item.id))[0] for item in library.items()]
        np.testing.assert_allclose(np.concatenate(stored), found["embeddings"], rtol=1.2e-7)
