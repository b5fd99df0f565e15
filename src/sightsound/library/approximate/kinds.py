"""The kinds of indexes: how each is made with FAISS, what it needs, and which one `auto` takes."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sightsound._threads import cores
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError

FEW_ROWS = 50_000
"""With fewer rows exact search is fast: `auto` builds no index, and a filter that keeps fewer is searched exactly."""
HNSW_ROWS = 200_000
"""Up to so many rows `auto` takes a graph, which is the fastest to search and the slowest to build."""
SAMPLE_BYTES = 2**29
"""Of rows, as float32, that an index is trained on."""
SAMPLE_PER_LIST = 64
"""Rows of this sample for each list of an IVF index."""
ITERATIONS = 8
"""Of k-means."""

_NEIGHBOURS = 32  # of a row in the graph
_CONSTRUCTION = 80  # candidates when a row is added to the graph
_GRAPH_BYTES = 4 * 2 * _NEIGHBOURS + 24  # of the graph, for each row
_PQ_CENTROIDS = 256
_PQ_SAMPLE = 64  # rows for each centroid of a product quantizer
_LARGEST_LISTS = 2**16


@dataclass(frozen=True)
class IndexKind:
    """A kind of index.

    Parameters
    ----------
    name : str
        As in `--kind`.
    effort : {"efSearch", "nprobe"}
        FAISS's name for how much of the index a search looks at.
    spare : float
        For each content that is wanted so many are scored again, since the index knows rows only roughly.
    about : str
        What it is, in a few words.
    """

    name: str
    effort: str
    spare: float
    about: str


KINDS = {
    kind.name: kind
    for kind in (
        IndexKind("hnsw", "efSearch", 2, "a graph of rows in 8 bits a number"),
        IndexKind("ivf", "nprobe", 1, "lists of the rows themselves"),
        IndexKind("ivf-sq8", "nprobe", 2, "lists of rows in 8 bits a number"),
        IndexKind("ivf-pq", "nprobe", 16, "lists of rows in 2 bits a number or fewer"),
    )
}
"""Name -> kind."""


def choose(wanted: str, rows: int, dim: int, memory: int) -> IndexKind | None:
    """Return the kind of index to build.

    ======================================================  =====================================
    rows                                                    `auto` is
    ======================================================  =====================================
    under 50,000                                            none: exact search is fast
    up to 200,000, if a graph needs a quarter of memory     hnsw
    more, if 8 bits a number are at most half of memory     ivf-sq8
    more than that                                          ivf-pq, or ivf-sq8 for odd dimensions
    ======================================================  =====================================

    Parameters
    ----------
    wanted : str
        A name of `KINDS`, or "auto".
    rows, dim : int
        Number and length of the rows.
    memory : int
        Bytes of memory of this machine.

    Returns
    -------
    IndexKind or None
        None if no index is worth its time.

    Raises
    ------
    SightsoundError
        If there is no such kind, or it does not fit the rows or the memory.
    """
    if wanted == "auto":
        if rows < FEW_ROWS:
            return None
        if rows <= HNSW_ROWS and rows * (dim + _GRAPH_BYTES) <= memory / 4:
            return KINDS["hnsw"]
        return KINDS["ivf-sq8" if rows * dim <= memory / 2 or not _parts(dim) else "ivf-pq"]
    if wanted not in KINDS:
        raise SightsoundError(f"kind: expected auto, {', '.join(KINDS)}, got {wanted!r}")
    if wanted == "hnsw" and rows * (dim + _GRAPH_BYTES) > memory / 2:
        size = rows * (dim + _GRAPH_BYTES) / 1e9
        raise SightsoundError(f"hnsw: {rows:,} rows need {size:.1f} GB of memory; use ivf-sq8")
    if wanted == "ivf-pq" and (rows < _PQ_CENTROIDS or not _parts(dim)):
        raise SightsoundError(
            f"ivf-pq: expected at least {_PQ_CENTROIDS} rows of an even length, got {rows} of {dim}; use ivf-sq8"
        )
    if not rows:
        raise SightsoundError(f"{wanted}: there are no rows to build an index of")
    return KINDS[wanted]


def memory_bytes() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def list_count(rows: int) -> int:
    """Return the number of lists of an IVF index, a power of two, at most twice the root of the rows.

    To add a row is to compare it with as many centres, which takes most of the time of a build.
    """
    return int(min(_LARGEST_LISTS, 2 ** int(math.log2(max(1, min(2 * math.sqrt(rows), rows / 8))))))


def sample_count(kind: IndexKind, rows: int, dim: int) -> int:
    """Return how many rows an index is trained on."""
    wanted = max(_PQ_CENTROIDS * _PQ_SAMPLE, SAMPLE_PER_LIST * (list_count(rows) if kind.effort == "nprobe" else 1))
    return max(1, min(wanted, rows, SAMPLE_BYTES // (4 * dim)))


def load_faiss() -> Any:
    """Return FAISS."""
    return importlib.import_module("faiss")


@contextlib.contextmanager
def threads() -> Iterator[None]:
    """Let FAISS use as many threads as `cores` says; torch may share the setting, which is put back at the end."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(cores())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def trained(kind: IndexKind, sample: Floats, rows: int) -> Any:
    """Return an empty index that is trained on some rows.

    Parameters
    ----------
    kind : IndexKind
        Which one.
    sample : ndarray of float32 (n, dim)
        Rows at unit length.
    rows : int
        How many will be added.
    """
    faiss, dim = load_faiss(), sample.shape[1]
    product, eight_bits = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    if kind.name == "hnsw":
        index = faiss.IndexHNSWSQ(dim, eight_bits, _NEIGHBOURS, product)
        index.hnsw.efConstruction = _CONSTRUCTION
        index.train(sample)
        return index
    lists, quantizer = list_count(rows), faiss.IndexFlatIP(dim)
    if kind.name == "ivf":
        index = faiss.IndexIVFFlat(quantizer, dim, lists, product)
    elif kind.name == "ivf-sq8":
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, lists, eight_bits, product)
    else:
        index = faiss.IndexIVFPQ(quantizer, dim, lists, _parts(dim), 8, product)
        points = index.pq.cp
        points.niter, points.min_points_per_centroid, points.max_points_per_centroid = ITERATIONS, 1, _PQ_SAMPLE
    index.own_fields = True
    quantizer.this.disown()
    index.cp.niter, index.cp.min_points_per_centroid = ITERATIONS, 1
    index.train(sample)
    return index


def _parts(dim: int) -> int:
    """Return into how many parts, of a byte each, a product quantizer divides a row; 0 if into none."""
    return next((dim // width for width in (4, 5, 6, 7, 8, 3, 2) if dim % width == 0), 0)
