"""Files that wait for models: each model gets all its files, and no file is looked at before it is needed."""

from __future__ import annotations

from sightsound.pipeline.queues import ModelQueues


def test_each_model_gets_its_files_in_order():
    queues = ModelQueues(["a1", "b1", "a2", "-", "ab", "b2"], lambda file: [c for c in file if c in "ab"])
    found = {}
    while (model := queues.next_model()) is not None:
        found[model] = list(queues.files_for(model))
    assert found == {"a": ["a1", "a2", "ab"], "b": ["b1", "ab", "b2"]}


def test_files_are_taken_as_they_are_needed():
    seen = []

    def models_for(file):
        seen.append(file)
        return [file[0]]

    queues = ModelQueues(["a1", "b1", "a2", "a3"], models_for)
    assert queues.next_model() == "a" and seen == ["a1"]
    files = queues.files_for("a")
    assert next(files) == "a1" and seen == ["a1"]
    assert next(files) == "a2" and seen == ["a1", "b1", "a2"]
    assert list(files) == ["a3"]
    assert queues.next_model() == "b" and list(queues.files_for("b")) == ["b1"]
    assert queues.next_model() is None and seen == ["a1", "b1", "a2", "a3"]


def test_files_that_are_put_back_go_through_the_model_again():
    queues = ModelQueues(["a1", "a2"], lambda file: ["a"])
    files = queues.files_for("a")
    assert next(files) == "a1"
    queues.put_back("a", ["a1"])
    assert list(files) == ["a1", "a2"]
    queues.put_back("a", ["a2"])
    assert queues.next_model() == "a" and list(queues.files_for("a")) == ["a2"]
    assert queues.next_model() is None


def test_files_that_need_no_model_are_settled_by_the_way():
    queues = ModelQueues(["-", "-"], lambda file: [])
    assert queues.next_model() is None
    assert list(queues.files_for("a")) == []
