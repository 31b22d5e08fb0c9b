"""Cycles of a matrix product on one systolic array.

The product of [M, K] and [K, N] on an array of R rows and C columns is cut into folds that fit the array and
run one after the other. A fold fills the array with what is held, streams the rest through it, and drains:

    held in the array    folds                     cycles of a fold
    ws  weights          ceil(K / R) ceil(N / C)   R + (M + R + C - 2)
    is  inputs           ceil(K / R) ceil(M / C)   R + (N + R + C - 2)
    os  outputs          ceil(M / R) ceil(N / C)   K + R + C - 2

Source: Samajdar et al., "A systematic methodology for characterizing scalability of DNN accelerators using
SCALE-Sim" (ISPASS 2020), section III. Nothing is hidden between folds, which is pessimistic for an array that
loads the next weights while it works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.numeric import ceil

if TYPE_CHECKING:
    from genzcli.numeric import Number

DATAFLOWS = ("ws", "is", "os")


def cycles(dataflow: str, m: Number, n: Number, k: Number, rows: Number, columns: Number) -> Number:
    """Cycles of an m x k by k x n product on an array of rows x columns: folds x cycles of a fold.

    Raises ValueError for a dataflow that is not in DATAFLOWS.
    """
    through = rows + columns - 2
    match dataflow:
        case "ws":
            return ceil(k / rows) * ceil(n / columns) * (rows + m + through)
        case "is":
            return ceil(k / rows) * ceil(m / columns) * (rows + n + through)
        case "os":
            return ceil(m / rows) * ceil(n / columns) * (k + through)
    raise ValueError(f"dataflow {dataflow!r} is not one of {', '.join(DATAFLOWS)}")
