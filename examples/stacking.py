"""Several networks know more than one: what each is worth, and what they are worth together.

    python examples/stacking.py                    cuttings of three photographs of scikit-image
    python examples/stacking.py FOLDER [MODEL...]  your own pictures or sounds: a folder for each class

It is done as in the article on CUB-200, whose 200 kinds of birds one ResNet-50 with a linear SVM tells apart in 62.6 %
and the stack of VGG19, ResNet, Inception and Xception in 74.5 %: a logistic regression on the features of each
network, and a linear SVM on the probabilities that they give items which they did not learn. Beside it stand the plain
ways: all features side by side, and the average of the probabilities. Everything is kept in ./demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

from demo import HERE, surfaces

import sightsound
from sightsound import Host, Library, SightsoundError, Stack
from sightsound.learn import compare, dataset
from sightsound.pipeline.latency import measure_latency
from sightsound.plot import reports

MODELS = ("tf_efficientnet_lite0.in1k", "mobilenet_v2.tv_in1k", "tf_efficientnet_lite1.in1k")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else surfaces(HERE / "surfaces")
    models, host = tuple(sys.argv[2:]) or MODELS, Host()
    print(f"1. Embed {folder} with {len(models)} networks")
    sightsound.index(folder, HERE / f"stack-{folder.name}", models=models, host=host, label_from="folder")
    with Library(HERE / f"stack-{folder.name}") as library:
        datasets = [dataset.load_dataset(library, model) for model in models]
    times = measure_latency(host, models, datasets[0].items)

    print("2. Hold out a fold from everything, five times")
    stack = Stack("svm")
    rivals, report = compare.compare(datasets, stack=stack, milliseconds=times)
    print(f"   {'':30} accuracy (95 %)          gain in points   ms an item   points per ms")
    for rival in rivals:
        price = "" if rival.gain_per_ms is None else f"{rival.gain_per_ms:+.2f}"
        cost = "" if rival.milliseconds is None else f"{rival.milliseconds:.1f}"
        print(f"   {rival.name:30} {rival.accuracy!s:24} {rival.gain:+14.1f} {cost:>12} {price:>15}")
    print(f"   calibration error of the stack: {report.error:.3f}")

    fitted = compare.fit(datasets, stack)
    fitted.report_ = report
    fitted.save(HERE / "stack.probe")
    reports.rivals(rivals, HERE / "stack.png")
    print(f"3. Take it away: {HERE / 'stack.probe'}; look at {HERE / 'stack.png'}")
    print(f"   $ sightsound probe predict {HERE / 'stack.probe'} PICTURE...")


if __name__ == "__main__":
    try:
        main()
    except SightsoundError as error:
        sys.exit(f"stacking: {error}")
