"""`genz calibrate`: measurements in, a profile out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from genzcli.cli.formats import Catalogs, Quiet

if TYPE_CHECKING:
    from genzcli.cli.measurements import Measurements
    from genzcli.explore.calibrate import Calibration, Runs
    from genzcli.explore.validate.kind import Setting
    from genzcli.spec.profile import Profile


def command(
    file: Annotated[str, typer.Argument(metavar="FILE.csv", help="Measurements; - is stdin.")],
    hardware: Annotated[
        str | None, typer.Option("--hardware", metavar="NAME,…", help="Only the rows of this hardware.")
    ] = None,
    stack: Annotated[
        str | None, typer.Option("--stack", metavar="NAME", help="Only the rows of this stack.")
    ] = None,
    named: Annotated[
        str,
        typer.Option("--as", metavar="NAME", help="What to call the stack; {stack} is the rows' own."),
    ] = "{stack}",
    base: Annotated[
        str, typer.Option("--base", metavar="STACK|FILE", help="The profile to start from and stay near.")
    ] = "plain",
    cite: Annotated[
        str | None, typer.Option("--cite", metavar="TEXT", help="Where the measurements are from [the file].")
    ] = None,
    whom: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="class:CLASS",
            help="One profile for a class of chips, as class:gpu, class:gpu:amd.",
        ),
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep near the base what the rows do not show, and say so.")
    ] = False,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="FOLDER", help="Write a file for each hardware and stack [stdout]."),
    ] = None,
    catalog: Catalogs = None,
    quiet: Quiet = False,
) -> int:
    """Fit a profile to measured serving runs.

    A dozen bounded numbers are fitted, robustly and near those of the base. The error that the profile states
    is that of models left out of the fit. Numbers that the rows do not show are an error with the rows that
    would show them; --keep leaves them near the base.

    \b
    Example:
      genz calibrate runs.csv --keep > my-stack.yaml
      genz validate others.csv --profile my-stack.yaml
    """
    from genzcli.catalog.load import Catalog
    from genzcli.cli.measurements import read
    from genzcli.cli.streams import emit
    from genzcli.cli.validate import _setting
    from genzcli.report.profile import text

    measurements = read(file)
    taken = Catalog(catalog or []).names("profiles")
    setting = _setting(None, (), catalog or [])
    pairs = _pairs(measurements, setting, hardware, stack)
    if whom:
        pairs = _pooled(pairs)
    if into is None and len(pairs) > 1:
        raise _several(measurements, list(pairs))
    for pair, runs in pairs.items():
        chip = runs[0].stack.nouns.platform.chip
        start = setting.library.profile(base, chip, runs[0].stack.key.batching)
        cited = cite or f"{measurements.name}"
        fitted = _fitted(runs, start, named.replace("{stack}", pair[1]), cited, keep, whom)
        if into is None:
            emit(text(fitted))
        else:
            _write(into, fitted)
        _told(fitted, taken, quiet)
    return 0


def _pairs(
    measurements: Measurements, setting: Setting, hardware: str | None, stack: str | None
) -> dict[tuple[str, str], list[Runs]]:
    """The rows that can be read and measure something, by hardware and stack."""
    import numpy as np

    from genzcli.errors import GenzError
    from genzcli.explore.calibrate import Runs
    from genzcli.explore.validate.endtoend import KIND, stacks
    from genzcli.explore.validate.kinds import recognise
    from genzcli.explore.validate.servings import TARGETS, measured

    if recognise(measurements.columns).name != KIND.name:
        cure = f"give rows with {', '.join(KIND.needs)} and any of {', '.join(TARGETS)}"
        raise GenzError("are no serving runs", where=measurements.name, cure=cure)
    groups, _, reasons = stacks(measurements.rows, setting)
    found: dict[tuple[str, str], list[Runs]] = {}
    for group in groups:
        pair = group.key.hardware, group.key.stack
        if hardware is not None and pair[0] not in hardware.split(","):
            continue
        if stack is not None and pair[1] != stack:
            continue
        rows = [measurements.rows[place] for place in group.places]
        columns = {t: np.array([measured(row, t) for row in rows], float) for t in TARGETS}
        there = {target: column for target, column in columns.items() if np.isfinite(column).any()}
        if there:
            found.setdefault(pair, []).append(Runs(group, there))
    if not found:
        why = next(iter(reasons.values()), f"no row measures any of {', '.join(TARGETS)}")
        raise GenzError(f"nothing to fit: {why}", where=measurements.name, cure="see `genz validate`")
    return found


def _pooled(pairs: dict[tuple[str, str], list[Runs]]) -> dict[tuple[str, str], list[Runs]]:
    """All chips of a stack together."""
    found: dict[tuple[str, str], list[Runs]] = {}
    for (_, stack), runs in pairs.items():
        found.setdefault(("", stack), []).extend(runs)
    return found


def _several(measurements: Measurements, pairs: Sequence[tuple[str, str]]) -> Exception:
    from genzcli.errors import GenzError

    listed = ", ".join(f"{hardware} under {stack}".removeprefix(" under ") for hardware, stack in pairs[:12])
    cure = "name one with --hardware and --stack, or write all with --into FOLDER"
    return GenzError(f"holds runs of {listed}", where=measurements.name, cure=cure)


def _fitted(runs: Sequence[Runs], base: Profile, stack: str, cited: str, keep: bool, whom: str) -> Profile:
    from genzcli.explore import fitted
    from genzcli.explore.calibrate import calibrate

    found = calibrate(runs, base)
    if found.hidden and not keep:
        raise _unshown(found, base)
    return fitted.profile(found, runs, base, stack, cited, whom)


def _unshown(found: Calibration, base: Profile) -> Exception:
    """What the rows cannot tell; which rows could is said before, a line each."""
    from genzcli.cli.streams import say
    from genzcli.errors import GenzError

    wide = max(len(knob.name) for knob in found.hidden) + 2
    say(f"{'not shown':<{wide}}measure")
    for knob in found.hidden:
        say(f"{knob.name:<{wide}}{knob.helps}")
    every = len(found.hidden) + len(found.fitted)
    cure = f"add such rows, or give --keep to leave these near {base.name}'s"
    return GenzError(f"{found.runs} runs do not show {len(found.hidden)} of the {every} numbers", cure=cure)


def _write(folder: str, profile: Profile) -> None:
    import os

    from genzcli.errors import GenzError
    from genzcli.report.profile import text

    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{profile.name}.yaml"), "w", encoding="utf-8") as file:
            file.write(text(profile))
    except OSError as error:
        raise GenzError(f"cannot be written ({error.strerror})", where=folder, cure="name a folder") from None


def _told(profile: Profile, taken: Sequence[str], quiet: bool) -> None:
    """What came out, on stderr: stdout is the file."""
    from genzcli.cli.streams import say

    say(f"{profile.name}: {profile.note}", quiet)
    if profile.name in taken:
        message = "a profile in the catalogs has this name too; --as NAME gives the stack another"
        say(f"genz: note: {profile.name}: {message}", quiet)
