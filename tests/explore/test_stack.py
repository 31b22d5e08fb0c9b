"""Frames that are answered together have, to the last bit, what each has by itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from genzcli.catalog.load import Catalog
from genzcli.cli.asking.request import from_flags
from genzcli.cli.asking.resolve import load
from genzcli.errors import GenzError
from genzcli.explore.stack import Structures, stacked
from genzcli.explore.sweep import Frame, Numbers, blocks, count, together
from genzcli.spec.workload import Scenario

CATALOG = Catalog()
SOME = ["llama-3.1-8b", "qwen3-32b", "mixtral-8x7b"]
CHIPS = ["h100-sxm", "h200", "b200", "mi300x", "tpu-v5e"]


def put(where: str, field: str) -> Any:
    """A number into the plan or the use case."""

    def change(scenario: Scenario, value: Any) -> Scenario:
        return scenario.replace(**{where: getattr(scenario, where).replace(**{field: value})})

    return change


AXES = (
    Numbers("batch", np.array([1.0, 7.0, 200.0]), put("plan", "batch")),
    Numbers("output_tokens", np.array([1.0, 100.0]), put("usecase", "output_tokens")),
)


def frames(**words: list[str]) -> Iterator[Frame]:
    """A frame for every combination of words that can be asked."""
    for values in product(*words.values()):
        given = dict(zip(words, values, strict=True))
        try:
            loaded = load(from_flags({key: value for key, value in given.items() if value}))
        except GenzError:
            continue
        yield Frame(loaded.scenario, loaded.chips, loaded.fixed, given)


TP8 = {"chips": ["8"], "tp": ["8"]}
QUESTIONS: dict[str, dict[str, list[str]]] = {
    "every model": {"model": CATALOG.names("models"), "hardware": ["h100-sxm"], "tp": ["1"]},
    "every model, two tiers": {"model": CATALOG.names("models"), "hardware": ["sn40l"], "concurrency": ["9"]},
    "every chip": {"model": ["llama-3.1-8b"], "hardware": CATALOG.names("chips")},
    "every platform": {"model": ["mixtral-8x7b"], "hardware": CATALOG.names("platforms"), **TP8},
    "servers": {
        "model": SOME,
        "hardware": CHIPS,
        "stack": ["vllm", "tensorrt-llm", "generic"],
        "concurrency": ["9"],
        "chunk": ["300"],
        **TP8,
    },
    "plans": {
        "model": SOME,
        "hardware": CHIPS[:2],
        "tp": ["1", "2", "4"],
        "pp": ["1", "3"],
        "dp": ["1", "2"],
    },
    "chosen plans": {"model": SOME, "hardware": CHIPS[:3], "chips": ["4"]},
    "drafts": {"model": SOME, "hardware": CHIPS, "draft": ["llama-3.2-1b", "ngram"], **TP8},
    "adapters": {"model": SOME, "hardware": CHIPS, "lora_rank": ["0", "8", "64"]},
    "routing": {
        "model": ["deepseek-v3", "mixtral-8x7b", "mixtral-8x22b"],
        "hardware": CHIPS[:3],
        "routing": ["uniform", "power-law", "worst"],
        "ep": ["1", "8"],
        **TP8,
    },
    "formats": {
        "model": SOME,
        "hardware": CHIPS,
        "precision": ["bf16", "fp8", "int4"],
        "sparsity": ["", "2:4"],
    },
}


@pytest.mark.parametrize("words", QUESTIONS.values(), ids=QUESTIONS)
def test_together_is_alone(words: dict[str, list[str]]) -> None:
    asked = list(frames(**words))
    alone = [block for frame in asked for block in blocks(frame, AXES)]
    found = list(together((frame, AXES, 0, count(AXES)) for frame in asked))
    assert len(found) == len(alone) == len(asked) > 1
    for one, block in zip(alone, found, strict=True):
        assert block.frame is one.frame and np.array_equal(one.columns["legal"], block.columns["legal"])
        there = one.columns["legal"] > 0
        for name, values in (*one.columns.items(), *one.tiers.items()):
            beside = (block.columns | block.tiers)[name]
            assert np.array_equal(values[there], beside[there], equal_nan=True), (name, one.frame.labels)


def test_chips_that_differ_in_numbers_are_one_call() -> None:
    """H100 and H200 have the same tiers and levels; MI300X has links from each chip to each."""
    near, nearer, other = (
        next(frames(model=["llama-3.1-8b"], hardware=[name])).scenario
        for name in ("h100-sxm", "h200", "mi300x")
    )
    structures = Structures()
    first, second, third = (structures.of(structures.essential(case)) for case in (near, nearer, other))
    assert first == second != third
    both = stacked([near, nearer], 1).platform.chip.memory["hbm"].bandwidth_bytes_per_s
    assert both.tolist() == [[3.35e12], [4.8e12]]  # type: ignore[union-attr]


def test_exponents_and_stages_are_structure() -> None:
    case = next(frames(model=["llama-3.1-8b"], hardware=["h100-sxm"])).scenario
    fits = case.profile.operators
    rounder = {name: fit.replace(corner=1.0) for name, fit in fits.items()}
    others = [
        case.replace(plan=case.plan.replace(pp=2)),
        case.replace(profile=case.profile.replace(operators=rounder)),
        case.replace(plan=case.plan.replace(lora_rank=8)),
    ]
    structures = Structures()
    same = case.replace(plan=case.plan.replace(tp=2, batch=9))
    assert structures.of(same) == structures.of(case)
    assert all(structures.of(other) != structures.of(case) for other in others)


def test_parts_of_frames_come_in_order() -> None:
    asked = list(frames(model=SOME, hardware=CHIPS[:3]))
    whole = {id(frame): block for frame in asked for block in blocks(frame, AXES)}
    spans = [(frame, AXES, 1, 5) if at == 0 else (frame, AXES, 0, 6) for at, frame in enumerate(asked)]
    for (frame, _, first, last), block in zip(spans, together(spans), strict=True):
        wanted = whole[id(frame)].columns["ttft_s"][first:last]
        assert np.array_equal(block.columns["ttft_s"], wanted, equal_nan=True)


@pytest.mark.parametrize("size", [1, 7, 13])
def test_cuts_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames larger and smaller than what is answered together."""
    asked = list(frames(model=SOME, hardware=CHIPS[:3]))
    wanted = [block.columns["e2e_s"] for frame in asked for block in blocks(frame, AXES)]
    monkeypatch.setattr("genzcli.explore.sweep.BLOCK", 4 * size)
    monkeypatch.setattr("genzcli.explore.sweep._POINTS", 3 * size)
    found = [block.columns["e2e_s"] for block in together((frame, AXES, 0, 6) for frame in asked)]
    assert np.array_equal(np.concatenate(found), np.concatenate(wanted), equal_nan=True)
