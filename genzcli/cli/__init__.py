"""The commands, one file each: parse, load, evaluate, report, exit code."""

from __future__ import annotations

from typing import NoReturn


def main() -> NoReturn:
    """Entry point of `genz`: one query, one process."""
    import gc
    import os
    import sys

    # A query lives for a tenth of a second and leaves no cycles worth collecting.
    gc.set_threshold(100_000)
    try:
        from genzcli.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the libraries load
        code = 130
    # Both streams are flushed; taking the interpreter down piece by piece costs 10 ms more.
    os._exit(code)
