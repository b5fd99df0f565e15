"""Combine several networks into one classifier, and compare it with each of them.

    python examples/stacking.py                    crops of three photographs of scikit-image
    python examples/stacking.py FOLDER [MODEL...]  your images or sounds: a folder for each class

The stack is a logistic regression on the features of each network, and a linear SVM on the probabilities that these
give for held-out items. It is compared with each network alone, with all features side by side, and with the average of
the probabilities. The method is that of an article on CUB-200, where it raises the accuracy on 200 species of birds
from 62.6 % (ResNet-50 with a linear SVM) to 74.5 % (VGG19, ResNet, Inception and Xception). Everything is kept in
./demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

from demo import HERE, surfaces

import sightsound
from sightsound import Host, SightsoundError, Stack

MODELS = ("tf_efficientnet_lite0.in1k", "mobilenet_v2.tv_in1k", "tf_efficientnet_lite1.in1k")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else surfaces(HERE / "surfaces")
    models, host = tuple(sys.argv[2:]) or MODELS, Host()
    library = HERE / f"stack-{folder.name}"
    print(f"1. Embed {folder} with {len(models)} networks")
    sightsound.index(folder, library, models=models, host=host, label_from="folder")

    print("2. Compare the networks and their combinations by cross-validation")
    found = sightsound.compare_stored(library, models, stack=Stack("svm"), fit=True, host=host)
    print(f"   {'':30} accuracy (95 %)          gain in points   ms an item   points per ms")
    for each in found.candidates:
        gain_per_ms = "" if each.gain_per_ms is None else f"{each.gain_per_ms:+.2f}"
        cost = "" if each.milliseconds is None else f"{each.milliseconds:.1f}"
        print(f"   {each.name:30} {each.accuracy!s:24} {each.gain:+14.1f} {cost:>12} {gain_per_ms:>15}")
    print(f"   calibration error of the stack: {found.report.error:.3f}")

    assert found.stack is not None
    found.stack.save(HERE / "stack.probe")
    sightsound.plot_candidates(found.candidates, HERE / "stack.png")
    print(f"3. Use it: {HERE / 'stack.probe'}; see {HERE / 'stack.png'}")
    print(f"   $ sightsound probe predict {HERE / 'stack.probe'} IMAGE...")


if __name__ == "__main__":
    try:
        main()
    except SightsoundError as error:
        sys.exit(f"stacking: {error}")
