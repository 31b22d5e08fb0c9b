"""Server profiles fitted anew (benchmarks/servers.py): the form is the shipped one's, and one fold of it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from genzcli.catalog.load import Catalog
from genzcli.spec.profile import Profile

FOLDER = Path(__file__).parents[1] / "benchmarks"
DATA = os.environ.get("GENZ_DATA")
measured = pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of measurements")
PAIRS = [("vllm", "b200"), ("vllm", "h100-sxm"), ("tensorrt-llm", "b200"), ("tensorrt-llm", "h100-sxm")]
PAIRS += [("sglang", chip) for chip in ("b200", "h100-sxm", "h200", "mi300x", "mi355x")]


@cache
def benchmark() -> Any:
    """benchmarks/servers.py, with the module beside it."""
    for name in ("measurements", "servers"):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules["servers"]


def numbers(shipped: Profile) -> list[Any]:
    """The twenty-two, read off a profile."""
    at, sends = shipped.operators, shipped.collectives["default"]
    moe, unpacked, prefill = at["moe"], at["moe.int4.bf16"], at["attention.prefill"]
    dense = at["gemm"].compute_efficiency
    return [
        *(dense, at["gemm.fp8"].compute_efficiency, at["gemm.fp4"].compute_efficiency),
        moe.compute_efficiency / dense,
        *(at["gemm"].memory_efficiency, moe.memory_efficiency),
        unpacked.compute_efficiency / moe.compute_efficiency,
        unpacked.memory_efficiency / moe.memory_efficiency,
        *(prefill.compute_efficiency, at["attention.decode"].memory_efficiency),
        *(at["gemm"].fixed_s, moe.fixed_s, moe.per_group_s, at["gemm"].per_k_s),
        *(shipped.step_s, shipped.per_sequence_s, shipped.per_chip_s, sends.efficiency, sends.base_s),
        *(shipped.request_s, shipped.launch_s, shipped.burst),
    ]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_shipped_profiles_have_the_form_that_is_fitted(pair: tuple[str, str]) -> None:
    """Twenty-two numbers within the bounds make the whole profile again, to the digits that it states."""
    catalog = Catalog()
    shipped = catalog.profile(pair[0], catalog.chip(pair[1]))
    assert shipped.name == "-".join(pair)
    values = numbers(shipped)
    for knob, value in zip(benchmark().KNOBS, values, strict=True):
        assert knob.low * 0.99 <= value <= knob.high * 1.01, knob.name
    again = benchmark().profile(values, pair)
    assert again.operators.keys() == shipped.operators.keys()
    for name, fit in again.operators.items():
        for field in fit.fields:
            stated = getattr(shipped.operators[name], field)
            expected = pytest.approx(stated, rel=0.01) if isinstance(stated, float) else stated
            assert getattr(fit, field) == expected, (name, field)
    for field in ("held_output", "reserve", "page_tokens", "activation_tokens", "layer_s"):
        assert getattr(again, field) == getattr(shipped, field), field


def test_without_measurements_it_says_so() -> None:
    rest = {name: value for name, value in os.environ.items() if name != "GENZ_DATA"}
    env = {**rest, "PYTHONPATH": str(FOLDER.parent)}
    ended = subprocess.run(
        [sys.executable, str(FOLDER / "servers.py"), "model"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "skipped: GENZ_DATA does not name the folder of measurements\n"


@measured
def test_a_model_left_out_of_one_stack() -> None:
    """Llama 3.1 70B under vLLM: its rows are in no fit, and are predicted by those of the others."""
    servers = benchmark()
    every = servers.loaded()
    assert [sum(len(item.stack.places) for item in part) for part in every] == [1510, 64]
    one = servers.Measured(
        *([item for item in part if servers.pair_of(item) == ("vllm", "b200")] for part in every)
    )
    found = servers.left_out("model", one, {}, "llama-3.1-70b")
    assert {item.stack.key.model for item, _ in found} == {"llama-3.1-70b"}
    assert servers.together(found, "tpot_ms").mean() < 0.08
    assert servers.together(found, "ttft_ms").mean() < 0.2
