"""The number of threads that decoding, networks and FAISS share."""

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
