"""Short names of the published networks, as users type them."""

from __future__ import annotations

import json

import pytest

from sightsound import Host

NAMES = {
    "yamnet": "yamnet.audioset_i8",
    "vggish": "vggish.audioset_f32",
    "mfcc": "mfcc.librosa",
    "places365": "resnet18.places365",
    "tf_efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "mobilenet_v2": "mobilenet_v2.tv_in1k",
    "squeezenet": "squeezenet1_1.keras_in1k",
    "googlenet": "googlenet.tv_in1k",
    "inceptionv3": "inception_v3.tv_in1k",
    "densenet201": "densenet201.tv_in1k",
    "mobilenetv2": "mobilenet_v2.tv_in1k",
    "resnet18": "resnet18.tv_in1k",
    "resnet50": "resnet50.a1_in1k",
    "resnet101": "resnet101.a1h_in1k",
    "resnet152": "resnet152.a1h_in1k",
    "xception": "legacy_xception.tf_in1k",
    "inceptionresnetv2": "inception_resnet_v2.tf_in1k",
    "shufflenet": "shufflenet_v2_x1_0.tv_in1k",
    "nasnetlarge": "nasnetalarge.tf_in1k",
    "darknet53": "darknet53.c2ns_in1k",
    "efficientnetb0": "efficientnet_b0.ra_in1k",
    "alexnet": "alexnet.tv_in1k",
    "vgg16": "vgg16.tv_in1k",
    "vgg19": "vgg19.tv_in1k",
    "wide_resnet50_2": "wide_resnet50_2.racm_in1k",
    "yamnet[hop=0.240]": "yamnet.audioset_i8[hop=0.24]",
    "vggish[8bit,pca]": "vggish.audioset_f32[pca,8bit]",
}


@pytest.fixture(scope="module")
def host() -> Host:
    found = Host()
    if not {"yamnet", "vggish", "mfcc", "places365"} <= set(found.aliases):
        pytest.skip("needs the plugins of this repository")
    return found


@pytest.mark.parametrize("short", NAMES)
def test_a_short_name_is_the_network_that_its_plugin_chose(host, short):
    assert host.card(short).name == NAMES[short]


def test_a_network_of_timm_without_a_tag_has_timms_default(host):
    assert host.card("resnet34").name == "resnet34.a1_in1k"
    assert "resnet34" not in host.aliases, "it was asked of the plugin"


def test_the_command_describes_a_network_by_its_short_name_with_its_options(host, command):
    done = command("models", "yamnet", plugins=())
    assert done.returncode == 0, done.stderr
    assert "yamnet.audioset_i8" in done.stdout and "hop=a number from 0.01 to 60" in done.stdout
    described = json.loads(command("models", "yamnet", "--json", plugins=()).stdout)
    assert described["name"] == "yamnet.audioset_i8" and described["aliases"] == ["yamnet"]
    assert {option["name"]: option["plugin"] for option in described["options"]}["hop"] == "yamnet"
    assert "yamnet is yamnet.audioset_i8" in command("models", plugins=()).stdout


def test_the_defaults_are_those_that_the_cards_say(host, monkeypatch):
    monkeypatch.delenv("SIGHTSOUND_IMAGE_MODEL", raising=False)
    monkeypatch.delenv("SIGHTSOUND_SOUND_MODEL", raising=False)
    assert host.default("image") == "tf_efficientnet_lite0.in1k" and host.default("sound") == "yamnet.audioset_i8"
