"""open_clip, imported in the order that works: it imports torchvision, which needs preparation."""

from __future__ import annotations

import importlib
from typing import Any

from sightsound.torch import import_torchvision

import_torchvision()
open_clip: Any = importlib.import_module("open_clip")
