"""Top-5 accuracy of the sound networks on ESC-10, by class, with and without back-off in the ontology.

A clip counts as correct if the expected class, or one below it in the ontology, is among its five best.

    python tests/benchmarks/esc10_classes.py --sounds ESC10 [--weights yamnet.h5] [MODEL ...]

ESC10 is the folder of K. J. Piczak's ESC-10. `links` is the mean distance in the ontology from the expected class to
the best one. Target: at least 78 % for yamnet.audioset_f32 and 85 % for yamnet.audioset_i8.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sightsound import Host, SegmentRules, TagEvaluation, evaluate_tags, load_ontology, tag

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/sightsound-audioset/tests"))
from esc10 import KINDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["yamnet.audioset_i8"])
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--weights", action="append", default=[])
    options = parser.parse_args()
    host = Host(weights=options.weights)
    for model in options.models:
        plain, backed = (evaluated(options.sounds, model, host, backoff) for backoff in (False, True))
        print(f"\n{model:28} top 5  with back-off   links  with back-off")
        for name in plain.by_class:
            show(name, plain.by_class[name], backed.by_class[name])
        show("all", plain.overall, backed.overall)


def evaluated(folder: Path, model: str, host: Host, backoff: bool) -> TagEvaluation:
    found = [
        t for t in tag(folder, models=model, host=host, rules=SegmentRules(backoff=backoff)) if t.outcome.status == "ok"
    ]
    expected = [KINDS[tags.item.path.partition("/")[0]] for tags in found]
    return evaluate_tags(expected, [tags.top for tags in found], load_ontology(host.weights))


def show(name, plain, backed):  # type: ignore[no-untyped-def]
    gain = f"{100 * backed.hit_rate:5.1f} ({100 * (backed.hit_rate - plain.hit_rate):+.1f})"
    print(f"{name:28} {100 * plain.hit_rate:5.1f}  {gain:14} {plain.distance:5.2f}  {backed.distance:5.2f}")


if __name__ == "__main__":
    main()
