"""The AudioSet ontology: Google's own file, and distances compared with the Floyd-Warshall algorithm."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from sightsound import Host, Ontology, OntologyNode, SightsoundError, UnknownClass, load_ontology
from sightsound.classify.ontology_file import read_ontology


@pytest.fixture(scope="module")
def audioset() -> Ontology:
    return load_ontology()


def names(nodes) -> list[str]:
    return [node.name for node in nodes]


def test_it_has_632_nodes_and_670_links(audioset):
    """As MATLAB's yamnetGraph."""
    assert (len(audioset), len(list(audioset)), len(audioset.links)) == (632, 632, 670)


def test_seven_nodes_have_no_parent(audioset):
    assert names(audioset.roots) == [
        *("Human sounds", "Animal", "Music", "Natural sounds", "Sounds of things", "Source-ambiguous sounds"),
        "Channel, environment and background",
    ]


def test_abstract_and_blacklisted_nodes_are_marked(audioset):
    assert sum(node.abstract for node in audioset) == 23
    assert sum(node.blacklisted for node in audioset) == 67
    assert audioset["Human voice"].abstract and not audioset["Human voice"].blacklisted
    assert audioset["Bay"].blacklisted and not audioset["Dog"].blacklisted


def test_all_classes_of_yamnet_are_nodes(audioset):
    card = Host().card("yamnet.audioset_f32")
    found = audioset.classes(card)
    assert len(found) == 521 and names(found) == list(card.labels)


def test_a_network_of_other_classes_has_no_nodes(audioset, tiny):
    assert audioset.classes(tiny.card("loudness.tiny")) == (None, None)


def test_a_node_is_found_by_name_in_any_case_by_id_and_as_itself(audioset):
    dog = audioset["Dog"]
    assert audioset["dog"] is audioset["/m/0bt9lr"] is audioset[dog] is dog
    assert "DOG" in audioset and "/m/0bt9lr" in audioset and "Dogma" not in audioset and 3 not in audioset


def test_parents_children_ancestors_and_subtree_of_the_dog(audioset):
    assert names(audioset.parents("Dog")) == ["Domestic animals, pets"]
    assert names(audioset.parents("Howl")) == ["Dog", "Canidae, dogs, wolves"]
    assert "Bark" in names(audioset.children("Dog"))
    assert names(audioset.ancestors("Dog")) == ["Domestic animals, pets", "Animal"]
    assert set(names(audioset.subtree("Dog"))) == {"Dog", *names(audioset.children("Dog"))}
    assert names(audioset.lineage("Bark")) == ["Animal", "Domestic animals, pets", "Dog", "Bark"]
    assert audioset.ancestors("Animal") == () and audioset.descendants("Bark") == ()


def test_the_descendant_matrix_agrees_with_descendants_and_ancestors(audioset):
    nodes = list(audioset)
    for i, node in enumerate(nodes):
        below = {nodes[j].id for j in np.flatnonzero(audioset.descendant_matrix[i])}
        assert below == {other.id for other in audioset.descendants(node)}
        above = {nodes[j].id for j in np.flatnonzero(audioset.descendant_matrix[:, i])}
        assert above == {other.id for other in audioset.ancestors(node)}


def test_the_path_from_bark_to_meow(audioset):
    assert names(audioset.path("Bark", "Meow")) == ["Bark", "Dog", "Domestic animals, pets", "Cat", "Meow"]
    assert audioset.distance("Bark", "Meow") == 4
    assert audioset.lowest_common_ancestor("Bark", "Meow").name == "Domestic animals, pets"


def test_dog_is_closer_to_bark_than_to_siren(audioset):
    assert audioset.distance("Dog", "Bark") == 1 < audioset.distance("Dog", "Siren") == 6
    assert audioset.lowest_common_ancestor("Dog", "Siren") is None
    assert audioset.distance("Dog", "Dog") == 0 and audioset.path("Dog", "Dog") == (audioset["Dog"],)
    assert audioset.lowest_common_ancestor("Bark", "Dog").name == "Dog"


def floyd_warshall(audioset) -> tuple[np.ndarray, np.ndarray]:
    """Return the shortest distances downwards, and those over a common ancestor. Row -1 is a node above all roots."""
    n = len(audioset)
    down = np.full((n + 1, n + 1), np.inf)
    down[np.arange(n + 1), np.arange(n + 1)] = 0
    for parent, child in audioset.links:
        down[audioset.index(parent), audioset.index(child)] = 1
    for root in audioset.roots:
        down[n, audioset.index(root)] = 1
    for k in range(n + 1):
        down = np.minimum(down, down[:, k : k + 1] + down[k])
    return down, np.array([(down + down[:, i : i + 1]).min(axis=0) for i in range(n)])[:, :n]


@pytest.mark.slow
def test_distances_are_those_of_floyd_warshall(audioset):
    _, over = floyd_warshall(audioset)
    nodes = list(audioset)
    random = np.random.default_rng(0)
    for i, j in random.integers(0, len(nodes), (3000, 2)):
        a, b = nodes[i], nodes[j]
        assert audioset.distance(a, b) == audioset.distance(b, a) == over[i, j], (a.name, b.name)
        path = audioset.path(a, b)
        shared = audioset.lowest_common_ancestor(a, b)
        assert (path[0], path[-1]) == (a, b) and len(path) - 1 + (shared is None) == over[i, j]
        steps = [{x, y} for x, y in itertools.pairwise(path)]
        linked = [{p, c} in steps for p, c in audioset.links]
        assert sum(linked) == len(steps) - (shared is None)


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("dog", "Dog"),
        ("DOG bark", "Bark"),
        ("fire engine", "Fire engine, fire truck (siren)"),
        ("cock doodle", "Crowing, cock-a-doodle-doo"),
    ],
)
def test_a_match_of_the_name_comes_before_one_of_the_description(audioset, words, first):
    assert first in names(audioset.find(words))[:3]


def test_nothing_is_found_for_no_words_and_for_unknown_ones(audioset):
    assert audioset.find(" ") == () and audioset.find("xyzzy") == ()


def test_an_unknown_name_is_refused_and_a_similar_one_suggested(audioset):
    with pytest.raises(UnknownClass, match=r"no kind of sound 'Dogg' among 632; did you mean 'Dog'\?"):
        audioset.children("Dogg")
    with pytest.raises(UnknownClass, match="try `sightsound ontology find WORD`"):
        audioset["xyzzyplugh"]


def test_an_ontology_cannot_be_changed(audioset):
    with pytest.raises(AttributeError):
        audioset["Dog"].name = "Cat"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        audioset.descendant_matrix[0, 0] = True


def test_a_file_of_another_format_is_refused(tmp_path):
    entry = {"id": "a", "name": "A", "description": "", "citation_uri": "", "child_ids": [], "restrictions": None}
    for text in ("", "[]x", '[{"id": "a"}]', "{}3", json.dumps([{"id": 1}]), json.dumps([entry])):
        (tmp_path / "ontology.json").write_text(text)
        with pytest.raises(SightsoundError, match=r"ontology.json: expected the AudioSet ontology \("):
            read_ontology(tmp_path / "ontology.json")


def test_a_node_below_itself_is_refused():
    with pytest.raises(ValueError, match="below itself"):
        Ontology([OntologyNode("a", "A"), OntologyNode("b", "B")], {"a": ("b",), "b": ("a",)})


# -- the command line --------------------------------------------------------------------------------------------


def test_the_command_prints_a_tree_with_marks(command):
    done = command("ontology", "tree", "Dog")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["Dog *", "  Bark *"] and "  Bay (b)" in done.stdout.splitlines()


def test_the_whole_tree_has_all_nodes(command):
    assert len(command("ontology", "tree", "--depth", "0").stdout.splitlines()) == 7
    whole = json.loads(command("ontology", "tree", "--json").stdout)
    ids = set()

    def walk(branches):
        for branch in branches:
            ids.add(branch["id"])
            walk(branch["children"])

    walk(whole)
    assert len(ids) == 632


def test_the_command_finds_words(command):
    done = command("ontology", "find", "dog")
    shown = " ".join(done.stdout.splitlines()[1].split())
    assert shown == "Dog * /m/0bt9lr Animal > Domestic animals, pets"
    assert command("ontology", "find", "xyzzy").returncode == 1
    assert json.loads(command("ontology", "find", "dog", "--json").stdout)[0]["class"] is True


def test_the_command_prints_a_path(command):
    lines = command("ontology", "path", "Bark", "Meow").stdout.splitlines()
    assert lines == ["Bark > Dog > Domestic animals, pets > Cat > Meow", "4 links over Domestic animals, pets"]
    assert "they share no root" in command("ontology", "path", "Dog", "Siren").stdout


def test_the_command_shows_a_node(command):
    shown = command("ontology", "show", "Siren").stdout
    assert shown.startswith("Siren *  /m/03kmc9\n") and "\nparents: Alarm\n" in shown


def test_the_command_reports_an_unknown_name_in_one_line(command):
    done = command("ontology", "tree", "Dogg")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("sightsound: no kind of sound 'Dogg'")
