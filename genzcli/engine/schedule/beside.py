"""The encoder and the vision tower in a prefill pass: which stage runs what of them, and how long it takes.

An encoder's layers are spread over the pipeline stages as the decoder's are; the input goes through all
of them, and the output to every stage, whose layers make their keys and values of it. A vision tower
stands whole on the first stage, cut over TP (heads rounded up) like the layers of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genzcli.engine.counts import prompts, towers
from genzcli.engine.counts.ops import Operator
from genzcli.engine.counts.towers import Inputs
from genzcli.engine.machine.roofline import Parts
from genzcli.engine.result import OperatorTime
from genzcli.engine.schedule import passes
from genzcli.engine.schedule.case import Case
from genzcli.engine.schedule.passes import Setting
from genzcli.engine.schedule.table import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genzcli.numeric import Number
    from genzcli.spec.model import Block


def run(case: Case, fresh: Number, rows: list[OperatorTime]) -> list[Parts]:
    """Parts of each stage for the inputs of `fresh` prompts; rows of all stages are added to `rows`."""
    found = []
    for stage, setting in zip(case.stages, case.settings, strict=True):
        here = Parts()
        if stage.first and setting.model.vision is not None:
            here = here + _vision(case, setting, fresh, rows)
        if setting.model.encoder is not None:
            here = here + _encoder(case, setting, stage.encoder, fresh, stage.first, stage.repeat, rows)
        found.append(here)
    return found


def hops(case: Case, fresh: Number) -> Parts | None:
    """An encoder's activations through the stages, and its output round to all of them."""
    if case.scenario.model.encoder is None:
        return None
    tokens = fresh * case.scenario.usecase.input_tokens
    between = passes.all_hops(case.setting, tokens, case.scenario.plan.pp)
    return None if between is None else between * 2


def launches(case: Case) -> Number:
    """Operators of a prompt's encoder, or of its images together, which a server encodes in one pass."""
    model, usecase, total = case.scenario.model, case.scenario.usecase, 0
    one, setting = Inputs(inputs=1, tokens=1), case.setting
    if model.encoder is not None:
        total += 1
        for name, repeat in model.encoder.stack:
            total += len(_layer(setting, model.encoder.blocks[name], model.d_model, one)) * repeat
    if model.vision is None:
        return total
    ahead, behind = towers.vision_ends(model.vision, model.d_model, one, setting.shard)
    seeing = len(ahead) + len(behind)
    for name, repeat in model.vision.stack:
        seeing += len(_layer(setting, model.vision.blocks[name], model.vision.d_model, one)) * repeat
    return total + seeing * passes.present(usecase.images)


def _encoder(
    case: Case,
    setting: Setting,
    layers: Mapping[str, int],
    fresh: Number,
    first: bool,
    stages: int,
    rows: list[OperatorTime],
) -> Parts:
    encoder = setting.model.encoder
    assert encoder is not None
    work = Inputs(inputs=fresh, tokens=case.scenario.usecase.input_tokens)
    total = Parts()
    if first:
        look_up = towers.embed(setting.model.d_model, work.inputs * work.tokens, setting.shard)
        total = total + _timed(setting, (look_up,), "encoder", 1, rows)
    for name, repeat in layers.items():
        label = "encoder" if len(encoder.blocks) == 1 else f"encoder {name}"
        each = _layer(setting, encoder.blocks[name], setting.model.d_model, work)
        total = total + _timed(setting, each, label, repeat, rows, stages)
    return total


def _vision(case: Case, setting: Setting, fresh: Number, rows: list[OperatorTime]) -> Parts:
    model, usecase = setting.model, case.scenario.usecase
    assert model.vision is not None
    work = Inputs(inputs=fresh * usecase.images, tokens=prompts.patches(model, usecase))
    own: list[OperatorTime] = []
    ahead, behind = towers.vision_ends(model.vision, model.d_model, work, setting.shard)
    total = _timed(setting, ahead, "vision", 1, own)
    for name, repeat in model.vision.stack:
        label = "vision" if len(model.vision.blocks) == 1 else f"vision {name}"
        each = _layer(setting, model.vision.blocks[name], model.vision.d_model, work)
        total = total + _timed(setting, each, label, repeat, own)
    total = total + _timed(setting, behind, "vision", 1, own)
    some = passes.present(usecase.images)
    rows.extend(scaled(row, some) for row in own)
    return total * some


def _layer(setting: Setting, block: Block, d_model: Number, work: Inputs) -> tuple[Operator, ...]:
    return towers.layer(block, d_model, work, setting.shard, setting.options)


def _timed(
    setting: Setting,
    operators: tuple[Operator, ...],
    label: str,
    repeat: int,
    rows: list[OperatorTime],
    stages: int = 1,
) -> Parts:
    """`repeat` times these operators; their rows over all of the `stages` that are alike."""
    own: list[OperatorTime] = []
    parts = passes.run_all(setting, operators, label, own)
    rows.extend(scaled(row, repeat * stages).replace(count=repeat * stages) for row in own)
    return parts * repeat
