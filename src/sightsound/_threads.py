"""What this machine has: cores, which decoding, networks and FAISS share, and a GPU."""

import os

from sightsound.contract.errors import SightsoundError


def cores() -> int:
    """Return SIGHTSOUND_THREADS if it is set, else the number of cores that this process may use.

    Raises
    ------
    SightsoundError
        If SIGHTSOUND_THREADS is not a positive number.
    """
    wanted = os.environ.get("SIGHTSOUND_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise SightsoundError(f"SIGHTSOUND_THREADS: expected a number from 1, got {wanted!r}")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_gpu() -> bool:
    """Return whether there is a GPU that torch may use (NVIDIA's or AMD's on Linux), without importing it."""
    return os.path.exists("/dev/nvidia0") or os.path.exists("/dev/kfd")


def on_cpu(device: str) -> bool:
    """Return whether a network runs on a CPU on this machine: "auto" is a GPU where there is one."""
    return device == "cpu" or (device == "auto" and not has_gpu())
