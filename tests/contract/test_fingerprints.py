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
    "resnet18.tv_in1k": "873181b3e5fe3f2ae515899c8153db6f75a4e2142adeb03fa8f23581aa7fce7d",
    "squeezenet1_1.keras_in1k": "e99482cb996fb2f1660272d6a04468fb9756838d90d7132fd6ca704d96663fb1",
    "alexnet.tv_in1k": "0d30ed29a3c6e309df60b3e5c2076c7c31486ef1e15c9d84ed9361686b892f77",
    "darknet53.c2ns_in1k": "78cbae8594b4d083f8029d4ba5521e8ddefa8330e283c3a16289a685f8eff040",
    "densenet201.tv_in1k": "5d961440c9cbb4d5d623b4068d75eef0195dd66feea9f14484f61baf0916cf42",
    "efficientnet_b0.ra_in1k": "7a2f02daaf33d2cddabad89608b03a4e5ac72289b4c93e95077fdffc42ef278a",
    "googlenet.tv_in1k": "f99451730825566fee663cfd11cb2a5aca7b0d8b1311d520db7cb358ed98d573",
    "inception_resnet_v2.tf_in1k": "27f771b8d6d9c5b7b6859342ab7b7218ff0ff57eafef42d5f213e67beb1c71b1",
    "inception_v3.tv_in1k": "9c17466eec4f9cc3f673a4541196d8cea15aa38fea02264131103635e70ed0c6",
    "legacy_xception.tf_in1k": "079c60c811f4b274ec2468d278658db13602cc60db10451099a34ed3c64a38e4",
    "nasnetalarge.tf_in1k": "a6d6aed0a27f65636f0e226c9ba78f506fdd6b3e38cbcdcba510795ce1d36e67",
    "resnet50.a1_in1k": "0fd89fe101f910283d13a67d969c2be3868146d06e04839066793a1bf622d5a4",
    "resnet101.a1h_in1k": "49901382a592d297e06aabd3b967052339540cb6f53b862115bd15a74d170528",
    "resnet152.a1h_in1k": "959cf0588c165a26eec83c8ab4affbad285bdd8c257ed8a525a37cb54de2fa3d",
    "shufflenet_v2_x1_0.tv_in1k": "b1dabb898c6b639b0e692dbd5a06629231ebc45bda4522e78964a204a60bc298",
    "squeezenet1_1.tv_in1k": "c5ea21b5820a3082d5971c7312045374b98ba4760f9ad6f6d1d75387a9787092",
    "vgg16.tv_in1k": "9d85d724d97ed07ac375f0254590796335b3b4d19fb05013b1d2915061957738",
    "vgg19.tv_in1k": "617e5e49ec9f9267aec81ddc17504eea50ceb6c54d55e233a3c9ff24a2987533",
    "wide_resnet50_2.racm_in1k": "2cc9907e0a5c3367f76dbf2d268871f296fc59babcd29d94cb29a3adce6611d2",
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
