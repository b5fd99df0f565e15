"""The files of class folders: their classes, and what is left out."""

from __future__ import annotations

import shutil

import pytest

import made
from sightsound import SightsoundError
from sightsound.library.class_folders import read_class_folders


def test_each_file_has_the_class_of_its_folder_at_any_depth(tmp_path):
    made.write_image(tmp_path / "data" / "cats" / "a.png", 1)
    made.write_image(tmp_path / "data" / "more" / "dogs" / "b.png", 2)
    found = read_class_folders(tmp_path / "data", "image")
    assert [item.path for item in found.items] == ["cats/a.png", "more/dogs/b.png"]
    assert found.labels == ("cats", "dogs") and len(set(found.contents)) == 2
    assert found.failures == () and found.notes == ()


def test_what_is_left_out_is_counted_and_what_cannot_be_read_is_named(tmp_path):
    made.write_image(tmp_path / "cats" / "a.png", 1)
    made.write_image(tmp_path / "cats" / "b.png", 2)
    shutil.copy(tmp_path / "cats" / "a.png", tmp_path / "cats" / "same.png")
    made.write_image(tmp_path / "cats" / "unclear.png", 3)
    made.write_image(tmp_path / "dogs" / "unclear.png", 3)
    made.write_image(tmp_path / "outside.png", 4)
    made.write_sound(tmp_path / "cats" / "meow.wav")
    (tmp_path / "cats" / "notes.txt").write_text("not media")
    found = read_class_folders(tmp_path, "image")
    assert [item.path for item in found.items] == ["cats/a.png", "cats/b.png"]
    assert [(each.item.path, each.status) for each in found.failures] == [("cats/notes.txt", "not-media")]
    assert found.notes == (
        "1 file that is no image left out",
        "1 file outside of class folders left out",
        "1 file of equal content left out",
        "2 files of equal content in different classes left out",
    )


def test_a_folder_without_classes_is_refused_with_what_it_has(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SightsoundError, match="empty: expected a folder of images for each class, got no files; name"):
        read_class_folders(tmp_path / "empty", "image")
    made.write_image(tmp_path / "flat" / "a.png")
    with pytest.raises(SightsoundError, match=r"got the images themselves \(1\); name the folder above"):
        read_class_folders(tmp_path / "flat", "image")
    made.write_sound(tmp_path / "sounds" / "dogs" / "a.wav")
    with pytest.raises(SightsoundError, match="got 1 file of another kind; name another folder"):
        read_class_folders(tmp_path / "sounds", "image")
    with pytest.raises(SightsoundError, match="no such file or folder"):
        read_class_folders(tmp_path / "gone", "image")
