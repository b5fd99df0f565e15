"""The one budget of threads that decoding, networks and FAISS share."""

import os

from sightsound.contract.errors import SightsoundError


def cores() -> int:
    """The cores that this process may use, or SIGHTSOUND_THREADS where that is set."""
    wanted = os.environ.get("SIGHTSOUND_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise SightsoundError(f"SIGHTSOUND_THREADS: expected a number from 1, got {wanted!r}")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
