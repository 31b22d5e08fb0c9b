"""Serving runs measured end to end: static batches and servers, any of E2E, TTFT, TPOT and throughput.

Rows that share their structure (model, hardware, stack, precision, batching, stages) are one array call, so
that thousands take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from genzcli.errors import GenzError, UnknownNameError
from genzcli.explore.validate.arrays import Stack, answers, stacked
from genzcli.explore.validate.kind import Kind, Predicted, Row, Setting, guarded
from genzcli.explore.validate.servings import TARGETS, Asked, Key, asked, looked_up

if TYPE_CHECKING:
    from genzcli.spec.profile import Profile


def stacks(rows: Sequence[Row], setting: Setting) -> tuple[list[Stack], dict[int, Asked], dict[int, str]]:
    """The rows by structure, each as it was read, and why others could not be."""
    nouns = looked_up(setting)
    read: dict[int, Asked] = {}
    reasons: dict[int, str] = {}
    by: dict[Key, list[tuple[int, Asked]]] = {}
    for place, row in enumerate(rows):
        try:
            read[place] = asked(row, nouns)
            by.setdefault(read[place].key, []).append((place, read[place]))
        except GenzError as error:
            reasons[place] = str(error)
    return [stacked(items, nouns(key)) for key, items in by.items()], read, reasons


def predict(rows: Sequence[Row], setting: Setting) -> Iterator[Predicted]:
    """A prediction for each row, in order."""
    groups, read, reasons = stacks(rows, setting)
    found = {place: Predicted({}, reason) for place, reason in reasons.items()}
    for group in groups:
        try:
            profile, standing_in = calibration(group, setting)
        except GenzError as error:
            found.update(dict.fromkeys(group.places, Predicted({}, str(error))))
            continue
        flags = [f"no calibration of {group.key.stack} for it: {profile.name}"] if standing_in else []
        found.update(_group(group, profile, read, flags))
    yield from (found[place] for place in range(len(rows)))


def calibration(group: Stack, setting: Setting) -> tuple[Profile, bool]:
    """The profile of a group, and whether it only stands in for one of the stack that the rows name."""
    chip, key = group.nouns.platform.chip, group.key
    try:
        found = setting.profile(key.stack, chip, key.batching)
    except UnknownNameError:
        if setting.stack is not None:  # the user's word, not the file's
            raise
        found = setting.profile("generic", chip, key.batching)
    asked_for = setting.stack or key.stack
    return found, found.stack not in (asked_for, f"{asked_for}-2024") and found not in setting.profiles


def _group(group: Stack, profile: Profile, read: dict[int, Asked], flags: list[str]) -> dict[int, Predicted]:
    """The rows of one structure; one by one where the engine refuses a plan among them."""
    try:
        return _answered(group, profile, read, flags)
    except (GenzError, ArithmeticError):
        if len(group.places) == 1:
            (place,) = group.places
            return {place: guarded(lambda: _answered(group, profile, read, flags)[place])}
    result: dict[int, Predicted] = {}
    for place in group.places:
        result.update(_group(stacked([(place, read[place])], group.nouns), profile, read, flags))
    return result


def _answered(
    group: Stack, profile: Profile, read: dict[int, Asked], known: list[str]
) -> dict[int, Predicted]:
    import numpy as np

    values, waves = answers(group, profile)
    shape = (len(group.places),)
    columns = {name: np.broadcast_to(column, shape) for name, column in values.items()}
    waves = np.broadcast_to(waves, shape)
    wait = "waits" if group.key.batching == "continuous" else "runs in waves"
    result = {}
    for index, place in enumerate(group.places):
        flags = (*read[place].flags, *known, *([f"{wait}: more than fits"] if waves[index] > 1 else ()))
        here = {name: float(column[index]) for name, column in columns.items()}
        if group.output_tokens[index] < 2:
            here.pop("tpot_ms", None)
        result[place] = Predicted(here, None, flags)
    return result


KIND = Kind(
    name="serving runs",
    needs=("hardware", "model", "input_tokens", "output_tokens"),
    targets=TARGETS,
    by=("hardware", "stack"),
    group=lambda row: (row.cells.get("hardware", ""), row.cells.get("stack", "")),
    predict=predict,
)
