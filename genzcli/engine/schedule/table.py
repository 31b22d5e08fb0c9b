"""Layers timed once for each placement and kind, and the operator rows of `--explain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genzcli.engine.counts.prompts import seen_across
from genzcli.engine.machine.roofline import Parts
from genzcli.engine.result import OperatorTime
from genzcli.engine.schedule import passes
from genzcli.engine.schedule.case import Case
from genzcli.engine.schedule.passes import Pipeline, Setting
from genzcli.numeric import is_array

if TYPE_CHECKING:
    from genzcli.numeric import Number


_SUMS = (
    "flop",
    "weight_bytes",
    "kv_bytes",
    "activation_bytes",
    "network_bytes",
    "compute_s",
    "memory_s",
    "network_s",
    "overhead_s",
)


def scaled(row: OperatorTime, factor: Number) -> OperatorTime:
    """The row's sums times a factor."""
    return row.replace(**{key: getattr(row, key) * factor for key in _SUMS})


class Mix:
    """Sum of lists of operator rows that differ in numbers only."""

    def __init__(self) -> None:
        self.rows: list[OperatorTime] = []

    def add(self, rows: list[OperatorTime], weight: Number) -> None:
        added = [scaled(row, weight) for row in rows]
        if not self.rows:
            self.rows = added
            return
        self.rows = [
            old.replace(**{key: getattr(old, key) + getattr(new, key) for key in _SUMS})
            for old, new in zip(self.rows, added, strict=True)
        ]


class Table:
    """Times the layers of every stage, once for each placement and kind, and keeps the operator rows."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.ends: list[OperatorTime] = []
        self.beside: list[OperatorTime] = []  # of an encoder or a vision tower
        self.kinds: dict[str, Mix] = {}  # by kind of layer
        self.uses: dict[str, int] = {}

    def layers(self, run: Callable[[Setting, str, list[OperatorTime]], Parts]) -> list[dict[str, Parts]]:
        """For each stage, `run` of one layer of each kind; equal stages and placements run once."""
        done: dict[tuple[int, str], tuple[Parts, list[OperatorTime]]] = {}
        uses: dict[tuple[int, str], int] = {}
        result = []
        for stage, setting in zip(self.case.stages, self.case.settings, strict=True):
            layer = {}
            for name, repeat in stage.layers.items():
                key = id(setting), name
                if key not in done:
                    rows: list[OperatorTime] = []
                    done[key] = self._awake(setting, name, run(setting, name, rows), rows)
                uses[key] = uses.get(key, 0) + repeat * stage.repeat
                layer[name] = done[key][0]
            result.append(layer)
        if self.case.setting.explain:
            self._keep({key: rows for key, (_, rows) in done.items()}, uses)
        return result

    def _awake(
        self, setting: Setting, name: str, parts: Parts, rows: list[OperatorTime]
    ) -> tuple[Parts, list[OperatorTime]]:
        """A layer that sees nothing but images is left out where there are none."""
        share = passes.awake(
            setting.model.blocks[name], seen_across(setting.model, self.case.scenario.usecase)
        )
        if not is_array(share) and share == 1:
            return parts, rows
        return parts * share, [scaled(row, share) for row in rows]

    def _keep(
        self, found: dict[tuple[int, str], list[OperatorTime]], uses: dict[tuple[int, str], int]
    ) -> None:
        """Rows of a kind of layer over all its uses."""
        kinds: dict[str, Mix] = {}
        self.uses = {}
        for key, rows in found.items():
            kinds.setdefault(key[1], Mix()).add(rows, uses[key])
            self.uses[key[1]] = self.uses.get(key[1], 0) + uses[key]
        for name, mix in kinds.items():
            self.kinds.setdefault(name, Mix()).rows.extend(mix.rows)

    def report(self, line: Pipeline, parts: Parts, sequences: Number) -> tuple[OperatorTime, ...]:
        """The rows in running order, and what is not an operator, so that the table adds up."""
        if not self.case.setting.explain:
            return ()
        rows = [*self.beside, *(row for row in self.ends if row.block == "embedding")]
        for name, mix in self.kinds.items():
            rows += [row.replace(count=self.uses[name]) for row in mix.rows]
        rows += [row for row in self.ends if row.block == "head"]
        table = [row for row in rows if row.time_s > 0]
        host = passes.step_parts(self.case.setting, sequences).overhead
        launches = line.through.overhead - sum((row.overhead_s for row in table), 0.0) - host
        launches = launches if launches > 1e-9 * line.through.time else 0.0
        between = line.through.time - sum((row.time_s for row in table), 0.0) - host - launches
        if host > 0:
            table.append(OperatorTime(name="host", kind="step", block="step", overhead_s=host))
        if launches > 0:
            table.append(OperatorTime(name="launches", kind="step", block="step", overhead_s=launches))
        waits = parts + line.through * -1.0
        if self.case.scenario.plan.pp > 1:
            table.append(_row("send-recv", "collective", Parts(network=between)))
        if waits.time > 0:
            table.append(_row("further passes", "pipeline", waits))
        return tuple(table)


def _row(name: str, kind: str, parts: Parts) -> OperatorTime:
    """Time of the schedule: hops between stages, micro-batches or chunks behind the first."""
    return OperatorTime(
        name=name,
        kind=kind,
        block="stages",
        compute_s=parts.compute,
        memory_s=parts.memory,
        network_s=parts.network,
        overhead_s=parts.overhead,
    )
