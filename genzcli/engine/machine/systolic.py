"""Cycles of a matrix product on a systolic array: SCALE-Sim's tile formula, and with loads hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.numeric import ceil, maximum, minimum

if TYPE_CHECKING:
    from genzcli.numeric import Number
    from genzcli.spec.hardware import Systolic


def mapped(dataflow: str, m: Number, n: Number, k: Number) -> tuple[Number, Number, Number]:
    """What lies on the rows, on the columns, and what streams past, of [m, k] x [k, n].

    ws  weights stay: k on the rows, n on the columns, m streams
    os  outputs stay: m on the rows, n on the columns, k streams
    is  inputs stay: k on the rows, m on the columns, n streams
    """
    match dataflow:
        case "ws":
            return k, n, m
        case "os":
            return m, n, k
        case "is":
            return k, m, n
    raise ValueError(f"dataflow {dataflow!r} is not one of ws, os, is")


def folds(dataflow: str, rows: Number, columns: Number, m: Number, n: Number, k: Number) -> Number:
    """Tiles that are laid on the array one after the other."""
    down, across, _ = mapped(dataflow, m, n, k)
    return ceil(down / rows) * ceil(across / columns)


def simulated_cycles(dataflow: str, rows: Number, columns: Number, m: Number, n: Number, k: Number) -> Number:
    """Compute cycles as SCALE-Sim v2 counts them (arXiv 1811.02883): each tile on its own.

    A tile of a stationary operand is loaded in `rows` cycles, then s values stream in, skewed over
    rows + columns - 2 cycles: folds (2 R + C + s - 2) - 1; outputs need no load, folds (R + C + s - 2) - 1.
    """
    stream = mapped(dataflow, m, n, k)[2]
    load = 0 if dataflow == "os" else rows
    return folds(dataflow, rows, columns, m, n, k) * (load + rows + columns + stream - 2) - 1


def cycles(array: Systolic, m: Number, n: Number, k: Number, groups: Number = 1) -> Number:
    """Cycles of `groups` products [m, k] x [k, n] on a chip's arrays with the next tile loaded in the shadow.

    A tile takes what streams through it, but no less than its successor takes to load (TPU v1 shifts a
    tile in while the one before computes: Jouppi et al., arXiv 1704.04760, section 2). Tiles, or the
    streams of too few tiles, spread over the cores; the first load and one skew are in nobody's shadow.
    """
    tiles = folds(array.dataflow, array.rows, array.columns, m, n, k) * groups
    stream = mapped(array.dataflow, m, n, k)[2]
    load = array.rows if array.load_cycles is None else array.load_cycles
    if array.dataflow == "os":
        load = 0
    streams = tiles * stream / array.cores  # of one core
    loads = maximum(ceil(tiles / array.cores) - 1, 0) * load
    busy = maximum(streams, loads + minimum(stream, streams))
    return load + busy + array.rows + array.columns - 2
