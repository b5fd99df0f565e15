"""The progress bar of long computations."""

import sys
from typing import Any


def bar(total: int, what: str, shown: bool | None, unit: str = "file") -> Any:
    """Return a tqdm bar.

    Parameters
    ----------
    total : int
        The number of steps.
    what : str
        What is done, before the bar.
    shown : bool, optional
        Whether to show it. None shows it on a terminal and in a notebook.
    unit : str
        What a step is.
    """
    if "ipykernel" in sys.modules:
        from tqdm.auto import tqdm
    else:  # the other one imports asyncio
        from tqdm import tqdm

    hidden = None if shown is None else not shown
    if sys.stderr is None or sys.stderr.closed:  # a service, or a program without a console
        hidden = True
    return tqdm(total=total, unit=unit, desc=what, disable=hidden)
