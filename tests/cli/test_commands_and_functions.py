"""Each command calls public functions of sightsound, so that a program can do what the command line does."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest

import sightsound
import sightsound.cli

FUNCTIONS = {
    "index": "index",
    "search": "search, search_tags, Text, Vectors.load",
    "tag": "tag, tag_stored, classify_stream, csv_table, raven_table, audacity_labels, plot_sound, plot_wordcloud",
    "label": "set_labels, import_labels, export_labels, Filter",
    "probe fit": "load_dataset, fit_probe, LinearProbe.save, plot_report",
    "probe predict": "load_probe, predict, predict_stored",
    "probe eval": "load_probe, evaluate_stored, plot_report",
    "probe show": "load_probe, plot_report",
    "probe export": "load_probe, export_onnx",
    "stack": "compare_stored, Stack.save, plot_candidates",
    "finetune": "finetune, plot_training, Labels",
    "advise": "load_datasets, advise, plot_advice",
    "compare": "compare_models, comparison_csv, comparison_markdown, plot_comparison",
    "ontology tree": "load_ontology, Ontology.children",
    "ontology find": "load_ontology, Ontology.find",
    "ontology path": "load_ontology, Ontology.path, Ontology.distance, Ontology.lowest_common_ancestor",
    "ontology show": "load_ontology, Ontology.parents, Ontology.children",
    "embed": "embed, save_embeddings",
    "import": "import_rows, verify_rows",
    "merge": "merge_libraries",
    "models": "Host.cards",
    "models layers": "Host.layers",
    "plugins": "Host.plugins",
    "weights list": "Host.weights",
    "weights compiled": "compiled_files, remove_compiled, Host.weights",
    "weights get": "Host.weights",
    "weights verify": "Host.weights",
    "weights path": "Host.weights",
    "list": "list_items",
    "export": "export_rows, export_atlas, export_huggingface",
    "stats": "stats",
    "facts": "read_facts, summarise_facts, write_sidecars",
    "check": "check",
    "forget": "forget, forget_missing, forget_space",
    "relocate": "relocate",
    "compact": "compact",
    "copy": "copy_library",
    "migrate": "migrate",
    "index-build": "build_index",
    "duplicates": "find_duplicates, calibrate_duplicates, write_duplicates_csv",
    "import-model": "import_model, ModelSettings.from_json",
    "remove-model": "remove_model",
    "export-model": "export_model, load_probe",
    "check-model": "testing.check_model, testing.bench_model",
    "new-plugin": "testing.new_plugin",
}


def commands():
    """The names of all commands and subcommands, without groups that only hold others."""
    context = click.Context(sightsound.cli.cli)
    for name in sightsound.cli.cli.list_commands(context):
        command = sightsound.cli.cli.get_command(context, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield name
        if isinstance(command, click.Group):
            yield from (f"{name} {inner}" for inner in command.list_commands(context))


def test_every_command_has_its_functions():
    assert sorted(commands()) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", sorted({name for text in FUNCTIONS.values() for name in text.split(", ")}))
def test_every_function_is_public(name):
    top, *parts = name.split(".")
    found = getattr(sightsound, top)
    for part in parts:
        found = getattr(found, part) if hasattr(found, part) else getattr(found(), part)
    assert top in sightsound.__all__


def test_a_command_has_the_module_of_its_name():
    """The other modules hold what several commands share."""
    modules = {path.stem for path in Path(sightsound.cli.__file__).parent.glob("[!_]*.py")}
    expected = {sightsound.cli.module_name(name) for name in sightsound.cli.COMMANDS}
    assert modules - {"destinations", "exports", "label_report", "output", "reports", "settings"} == expected
    for name in expected:
        assert isinstance(getattr(importlib.import_module(f"sightsound.cli.{name}"), name), click.Command)
