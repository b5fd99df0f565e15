"""The cards of the bundles that are used most, as data, and the options of every bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sightsound.plugin import Card, Layer, Option, WeightFile, with_option

TAG = "torchaudio"
FAMILIES = ("wav2vec2_", "hubert_", "wavlm_", "voxpopuli_", "mms_")
"""What the names of the bundles begin with."""

RATE = 16_000
FRAME, FRAME_HOP = 400, 320
"""Samples that a frame of the convolutions sees, and samples between frames: 25 ms and 20 ms."""

CONVOLUTIONS = 7
"""Layers of the feature extractor, from samples to frames."""

URL = "https://download.pytorch.org/torchaudio/models/"
"""Where torchaudio publishes files that it names without an address (torchaudio.pipelines._wav2vec2.utils)."""

WINDOW = Option(
    "window", float, low=0.1, high=30, step=0.01, default=1.0, help="seconds that a row covers, a multiple of 10 ms"
)
HOP = Option(
    "hop", float, low=0.02, high=30, step=0.01, default=0.5, help="seconds between windows, a multiple of 10 ms"
)


def card_of(
    arch: str, path: str, dim: int, layers: int, normalize: bool, params: int, license: str, about: str
) -> Card:
    """Return the card of a bundle.

    Parameters
    ----------
    arch : str
        The name of the bundle in lower case.
    path : str
        The file with its weights: a name below `URL`, or an address.
    dim : int
        The width of its transformer.
    layers : int
        The number of layers of its transformer.
    normalize : bool
        Whether it takes waveforms with a mean of 0 and a variance of 1.
    params : int
        The number of its parameters, without the head for letters of a fine-tuned bundle.
    license : str
        The licence of the weights.
    about : str
        A description in one line.

    Returns
    -------
    Card
        The card without options in its name: a layer in the middle, windows of 1 s every 0.5 s.
    """
    if path.startswith("https://"):
        file = WeightFile(name=f"{arch}.pt", sources=(path,))  # such an address may end in model.pt
    else:
        file = WeightFile(name=path, sources=(URL + path,))
    layer = layers // 2
    step = Option(
        "layer", int, low=1, high=layers, default=layer, help="the transformer layer whose mean over time is the row"
    )
    return Card(
        name=f"{arch}.{TAG}",
        modality="sound",
        dim=dim,
        input_shape=(RATE,),
        sample_rate=RATE,
        window=RATE,
        hop=RATE // 2,
        weights=(file,),
        options=(step, WINDOW, HOP),
        aliases=(arch,),
        # 1e-5 is the default of torch.nn.functional.layer_norm, which torchaudio uses
        constants={"layer": layer, "pool": "mean", "normalize_eps": 1e-5 if normalize else None},
        params=params,
        # a projection, the position embedding; four linear layers one after the other in each layer
        depth=CONVOLUTIONS + 2 + 4 * layers,
        license=license,
        about=about,
    )


def with_options(card: Card, options: Mapping[str, Any]) -> Card:
    """Return a card with the options `layer`, `window` and `hop` in its name and its numbers."""
    for option in card.options:
        if option.name in options:
            card = replace(card, name=with_option(card.name, option, options[option.name]))
    window = _samples(options["window"]) if "window" in options else card.window
    assert window is not None
    return replace(
        card,
        input_shape=(window,),
        window=window,
        hop=_samples(options["hop"]) if "hop" in options else card.hop,
        constants={**card.constants, "layer": options.get("layer", card.constants["layer"])},
    )


def layers(card: Card) -> list[Layer]:
    """Return the layers that the option `layer` may name: the layers of the transformer, counted from 1."""
    (window,) = card.input_shape
    frames = (window - FRAME) // FRAME_HOP + 1
    (last,) = (option.high for option in card.options if option.name == "layer")
    assert last is not None
    return [Layer(str(number), "EncoderLayer", (frames, card.dim), axis=1) for number in range(1, int(last) + 1)]


def _samples(seconds: float) -> int:
    return round(seconds * 100) * RATE // 100


def _base(arch: str, path: str, about: str, *, params: int = 94_370_944) -> Card:
    return card_of(arch, path, 768, 12, False, params, "MIT", about)


def _large(arch: str, path: str, about: str, *, normalize: bool = True, params: int = 315_437_696) -> Card:
    return card_of(arch, path, 1024, 24, normalize, params, "MIT", about)


REGISTERED = (
    _base("wav2vec2_base", "wav2vec2_fairseq_base_ls960.pth", "wav2vec 2.0, trained on 960 h of LibriSpeech"),
    _large(
        "wav2vec2_large",
        "wav2vec2_fairseq_large_ls960.pth",
        "wav2vec 2.0, trained on 960 h of LibriSpeech",
        normalize=False,
        params=315_427_968,
    ),
    _large(
        "wav2vec2_large_lv60k",
        "wav2vec2_fairseq_large_lv60k.pth",
        "wav2vec 2.0, trained on 60,000 h of Libri-Light",
    ),
    _large(
        "wav2vec2_xlsr53",
        "wav2vec2_fairseq_large_xlsr53.pth",
        "wav2vec 2.0, trained on 56,000 h of speech in 53 languages",
    ),
    _large(
        "wav2vec2_xlsr_300m",
        "wav2vec2_xlsr_300m.pth",
        "XLS-R, wav2vec 2.0 trained on 436,000 h of speech in 128 languages",
    ),
    _base("hubert_base", "hubert_fairseq_base_ls960.pth", "HuBERT, trained on 960 h of LibriSpeech"),
    _large(
        "hubert_large",
        "hubert_fairseq_large_ll60k.pth",
        "HuBERT, trained on 60,000 h of Libri-Light",
        params=315_434_112,
    ),
    _base("wavlm_base", "wavlm_base.pth", "WavLM, trained on 960 h of LibriSpeech", params=94_381_168),
    _base("wavlm_base_plus", "wavlm_base_plus.pth", "WavLM, trained on 94,000 h of mixed speech", params=94_381_168),
    _large("wavlm_large", "wavlm_large.pth", "WavLM, trained on 94,000 h of mixed speech", params=315_452_096),
)
"""The bundles that were pretrained and not fine-tuned, except for the three largest."""
