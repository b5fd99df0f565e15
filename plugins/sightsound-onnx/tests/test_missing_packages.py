"""Without the program that runs a format, the other format works, and the user is told what to install."""

from __future__ import annotations

import importlib.util

import pytest

from sightsound import Host


@pytest.mark.parametrize(
    ("package", "broken", "left"), [("ai_edge_litert", "tflite", "onnx"), ("onnxruntime", "onnx", "tflite")]
)
def test_one_format_does_not_need_the_program_of_the_other(monkeypatch, models, package, broken, left):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))
    host = Host()
    plugins = {plugin.name: plugin for plugin in host.plugins}
    assert plugins[broken].status == "broken"
    assert "pip install" in plugins[broken].reason
    assert plugins[left].status == "ok"
    assert left in host.importers and broken not in host.importers
