"""The spaces of the published networks: a fingerprint that changes makes every stored library unusable."""

from __future__ import annotations

import pytest

from sightsound import Host, Space
from sightsound.contract.errors import UnknownModel

FINGERPRINTS = {
    "mfcc.librosa": "1b83cd21e969c9c41ead67df92462e994e4d723346dbf231db575dbb70cb57cf",
    "tf_efficientnet_lite0.in1k": "1aac81d86ae9f31a66523640cb77a842c490b33604013878bd006d630f163c84",
    "tf_efficientnet_lite1.in1k": "a481b982ddee59de4b86cf14d7f5fad591da88aaaa85fb28c37bef0f64946a19",
    "tf_efficientnet_lite2.in1k": "0c2059d008afb191c8dcf62d32c0ae563bc5e3ae8a3c94eef20d07edf3df0aab",
    "mobilenet_v2.tv_in1k": "f21ba92a4ff7f46aaa7573c6f5f76d9f8d7661213ef3ae65106e753cd5317472",
    "resnet18.places365": "e90caf4cd1fc2fd5851614f0da0603f6315da730a2c46ef3ed0fe24e898abedc",
    "resnet50.places365": "13dff2c7627c81a2e053c2c900216f355b616f48ecd9ae9a15fd3a2092f3a6b7",
    "vggish.audioset_f32": "bb2e3e91606087f01034010cc9d02922b3c3912adef6a7366e7f6a302577d7d3",
    "yamnet.audioset_f32": "7acd1ccb9d90fbc17796e6e05c5acad2fa755514ed7934151e5d4925a9852fe5",
    "yamnet.audioset_i8": "ea72eb859606cc4f2ac6842370fdc0b11c230a77ed15158cc00b11c49cd02190",
    "yamnet.audioset_i8[hop=0.24]": "24f6728fd3433e7771dcf0411cc2813e73763c4743cd3fcd2d7cd9e856c47b2d",
    "vggish.audioset_f32[pca]": "0a32789dde739deff4314d98d6871637bf547767b896f51de1785019ea96405b",
    "yamnet.audioset_f32[layer=body.25+body.53]": "cf10e199c320fd88989cbee0b4d141553be0a206794a42dcae445ac4bf9d52e0",
}
"""Of each card with the published hash of its files, or the git blob id, or zeros where neither is known."""


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


SLOW = {"yamnet.audioset_f32[layer=body.25+body.53]"}
"""The layers are listed by running the network."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in FINGERPRINTS])
def test_the_fingerprint_of_a_published_network_never_changes(host, name):
    try:
        card = host.card(name)
    except UnknownModel:
        pytest.skip("its plugin is not installed")
    weights = {file.name: file.sha256 or file.git_blob or "0" * 64 for file in card.weights}
    assert Space.of(card, weights).fingerprint == FINGERPRINTS[name]
