"""Seconds of a call, watts while it runs, and what machine that was."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import torch
from shapes import Cell

Call = Callable[[], object]


class Timed(NamedTuple):
    """Seconds of one call, how it was launched, and the launch itself for running it again."""

    seconds: float
    graph: bool
    again: Call


class Clock:
    """The device's stopwatch. On a CPU the wall clock, without graphs and without watts."""

    def __init__(self, device: str, repeats: int, power: bool) -> None:
        self.cuda = device == "cuda"
        self.repeats = repeats
        self.power = power and self.cuda
        self.card = f"GPU-{uuid}" if (uuid := self._property("uuid", None)) else "0"
        self.cache = int(self._property("L2_cache_size", 1 << 20))

    def _property(self, name: str, default: Any) -> Any:
        return getattr(torch.cuda.get_device_properties(0), name, default) if self.cuda else default

    def free(self) -> int:
        """Bytes that can still be taken; on a CPU a small number, as nothing large runs there."""
        if not self.cuda:
            return 1 << 30
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info()[0])

    def captured(self, call: Call) -> tuple[Call, bool]:
        """A replay of the call as a CUDA graph, or the call itself where it cannot be captured."""
        self._settled(call)
        if not self.cuda:
            return call, False
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                call()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            print(f"  no graph: {str(error).splitlines()[0]}", flush=True)
            torch.cuda.synchronize()
            return call, False
        return graph.replay, True

    def _settled(self, call: Call) -> None:
        """Twice on a side stream, as capture asks for: libraries load and choose kernels."""
        if not self.cuda:
            call()
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call()
            call()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()

    def laps(self, calls: Sequence[Call]) -> list[float]:
        """Seconds of each of some calls that run one after the other, and of all: medians after a warm-up."""
        for call in calls:
            call()
        runs = [self._lap(calls) for _ in range(self.repeats)]
        return [median(column) for column in zip(*runs, strict=True)]

    def _lap(self, calls: Sequence[Call]) -> list[float]:
        if not self.cuda:
            marks = [time.perf_counter()]
            for call in calls:
                call()
                marks.append(time.perf_counter())
            return [after - before for before, after in _pairs(marks)] + [marks[-1] - marks[0]]
        events = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]
        events[0].record()
        for call, event in zip(calls, events[1:], strict=True):
            call()
            event.record()
        torch.cuda.synchronize()
        each = [before.elapsed_time(after) / 1e3 for before, after in _pairs(events)]
        return [*each, events[0].elapsed_time(events[-1]) / 1e3]

    def kernel(self, calls: Sequence[Call]) -> Timed:
        """Seconds of one of some like calls on different inputs, back to back in one graph."""

        def round_() -> None:
            for call in calls:
                call()

        again, graph = self.captured(round_)
        return Timed(self.laps([again])[0] / len(calls), graph, again)

    def watts(self, call: Call, seconds: float) -> float | None:
        """The driver's watts near the end of two seconds of nothing else: its reading is a mean over one."""
        if not self.power:
            return None
        start = time.perf_counter()
        ahead = max(min(int(0.2 / seconds), 500), 1)
        while time.perf_counter() - start < 1.8:
            for _ in range(ahead):
                call()
            torch.cuda.current_stream().synchronize()
        for _ in range(math.ceil(0.4 / seconds)):
            call()
        found = self._watts()
        torch.cuda.synchronize()
        return found

    def _watts(self) -> float | None:
        try:
            return float(torch.cuda.power_draw()) / 1e3
        except Exception:  # without NVML's Python binding, or a reason of its own
            return _number(_asked("power.draw", self.card))

    def machine(self) -> dict[str, Cell]:
        """The machine's columns; clocks are those of the moment, under what load there is."""
        names = ("driver_version", "clocks.sm", "clocks.mem", "power.limit")
        found = _asked(",".join(names), self.card).split(", ") if self.cuda else []
        driver, *numbers = found if len(found) == len(names) else [""] * len(names)
        columns = ("sm_clock_mhz", "memory_clock_mhz", "power_limit_w")
        return {
            "device": torch.cuda.get_device_name(0) if self.cuda else "cpu",
            "driver": driver,
            **{name: _number(text) for name, text in zip(columns, numbers, strict=True)},
            "torch_version": torch.__version__,
            "cuda_version": (torch.version.cuda or torch.version.hip or "") if self.cuda else "",
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _pairs(marks: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(pairwise(marks))


def _asked(what: str, card: str) -> str:
    """A line from nvidia-smi; empty where there is none."""
    words = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits", "-i", card]
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
