"""Whole-process time of a query against that of importing its two unavoidable libraries.

    python benchmarks/startup.py [--runs 25]

Runs are interleaved, so that a slow moment of the machine hits all alike; medians and ratios are
printed. Exit code 1 when a ratio is above its target.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

BASE = ["-c", "import typer, yaml"]
QUERY = ["-m", "genzcli", "run", "llama-3.1-70b", "h100-sxm", "-n", "8", "-u", "chat", "--exit-zero"]
#: What is timed, and the ratio to the base it must stay under.
CASES = {
    "import typer, yaml": (BASE, None),
    "JSON query": ([*QUERY, "--json"], 1.4),
    "table query": (QUERY, 2.0),
}


def main() -> int:
    """Time every case and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=25)
    medians = measure(parser.parse_args().runs)
    base = medians["import typer, yaml"]
    missed = False
    for name, (_, target) in CASES.items():
        ratio = medians[name] / base
        words = f"  (target {target})" if target else ""
        print(f"{name:20} {medians[name] * 1e3:7.1f} ms  {ratio:5.2f}x{words}")
        missed |= target is not None and ratio > target
    return int(missed)


def measure(runs: int) -> dict[str, float]:
    """Median seconds of each case; the first round only fills the bytecode caches."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for turn in range(runs + 1):
        for name, (arguments, _) in CASES.items():
            taken = once(arguments)
            if turn:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


def once(arguments: list[str]) -> float:
    """Seconds of one process, from start to end."""
    # Without bytecode caches every run compiles everything, which no user sees twice.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
