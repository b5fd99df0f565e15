"""OpenVINO, imported such that several threads may use it from the start.

The first use of `Tensor.data` in a process builds a table. Two threads that do this at once may wait for each other for
ever: one has the lock of the table and waits for Python's, the other the reverse (seen in one of ten processes with
OpenVINO 2026.4). So it is done here, in the one thread that imports.
"""

from __future__ import annotations

import numpy as np
import openvino

__all__ = ["openvino"]

_ = openvino.Tensor(np.zeros(1, np.float32)).data
