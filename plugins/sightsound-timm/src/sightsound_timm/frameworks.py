"""timm and torchvision, imported in the order that works: timm imports torchvision, which needs preparation."""

from __future__ import annotations

import importlib
from typing import Any

from sightsound.torch import import_torchvision

torchvision: Any = import_torchvision()
timm: Any = importlib.import_module("timm")
