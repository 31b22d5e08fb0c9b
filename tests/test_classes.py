"""Chips that nobody measured: what they inherit, and how far off that is (benchmarks/classes.py)."""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genzcli.catalog.load import Catalog, load_file
from genzcli.cli.asking.request import from_flags
from genzcli.cli.asking.resolve import resolve
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Metrics

ROOT = Path(__file__).parent.parent
DATA = os.environ.get("GENZ_DATA")
measured = pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of measurements")
CATALOG = Catalog()
#: Experts in MXFP4 under bf16 activations: servers do not run the kernel that was measured (Triton).
SERVED = "moe.mxfp4.bf16"
#: Classes of NVIDIA's chips.
KIN = ("ampere", "hopper", "ada", "blackwell", "geforce")


@cache
def benchmark() -> Any:
    """benchmarks/classes.py, with the modules beside it."""
    folder = ROOT / "benchmarks"
    for name in ("measurements", "classes"):
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules["classes"]


def test_generations_go_before_makers_and_these_before_classes() -> None:
    def names(stack: str) -> list[str]:
        chips = ("a10g", "h200", "l4", "b300", "mi325x", "v100-sxm", "arc-b60")
        return [CATALOG.profile(stack, CATALOG.chip(chip)).name for chip in chips]

    generations = [f"generic-gpu-{name}" for name in ("ampere", "hopper", "ada", "blackwell", "amd")]
    assert names("generic") == [*generations, "generic-gpu", "generic-gpu"]
    for card in ("rtx-3090", "rtx-4090", "rtx-5090"):
        assert CATALOG.profile("generic", CATALOG.chip(card)).name == "generic-gpu-geforce"
    kernels = [f"kernels-gpu-{name}" for name in ("ampere", "hopper", "ada")]
    assert names("kernels") == [*kernels, *["kernels-gpu"] * 4]
    own = CATALOG.chip("h200").replace(name="mine", generation="Hopper")
    assert CATALOG.profile("generic", own).name == "generic-gpu-hopper"
    assert CATALOG.profile("generic", own.replace(generation="next")).name == "generic-gpu"


@pytest.mark.parametrize("chip", ["a100-sxm-80gb", "h100-sxm", "l40s", "b200", "mi300x", "max-1550"])
def test_kernels_are_inherited_as_they_were_measured(chip: str) -> None:
    """All but the fixed time, an overhead, and MXFP4 experts; Blackwell runs the kernels of Hopper."""
    part = CATALOG.chip(chip)
    kin = CATALOG.chip("h100-sxm") if part.generation == "blackwell" else part
    kernels = CATALOG.profile("kernels", kin).operators
    inherited = CATALOG.profile("generic", part).operators
    assert inherited.keys() == kernels.keys() | {SERVED}
    assert len({fit.fixed_s for fit in inherited.values()}) == 1
    for name in kernels.keys() - {SERVED}:
        assert inherited[name].replace(fixed_s=kernels[name].fixed_s) == kernels[name], name
    assert inherited[SERVED].tile_rows <= 16
    if part.vendor != "AMD":
        assert inherited[SERVED] == inherited["moe.int4.bf16"]


def ask(hardware: str, **words: str) -> Metrics:
    """gpt-oss-120b as published, under the generic profile, where the words do not say otherwise."""
    words = {"model": "gpt-oss-120b", "hardware": hardware, "stack": "generic", **words}
    return estimate(resolve(from_flags(words)).scenario).metrics


def test_experts_in_mxfp4_on_hopper() -> None:
    """vLLM pull request 27523: 8 x (32 + 128 tokens) in 1.17 s with Marlin, 1.58 with Triton."""
    assert float(ask("h100-sxm", batch="8", input="32", output="128").e2e_s) == pytest.approx(1.17, rel=0.15)


@pytest.mark.parametrize(("users", "tokens"), [(1, 264), (8, 1416), (32, 3946), (64, 6248), (128, 9319)])
def test_experts_in_mxfp4_on_mi300x(users: int, tokens: float) -> None:
    """vLLM pull request 55934: output tokens a second of 8 chips, TP 8, 1024 tokens in and out, AITER."""
    words = {"tp": "8", "concurrency": f"{users}", "input": "1024", "output": "1024"}
    found = ask("mi300x-x8", **words).output_tokens_per_s
    assert float(found) == pytest.approx(tokens, rel=0.22)


@pytest.mark.parametrize("chip", ["rtx-4090", "l40s", "h100-sxm", "a100-sxm-80gb"])
@pytest.mark.parametrize("batch", ["1", "16", "64"])
def test_experts_in_mxfp4_as_servers_run_them(chip: str, batch: str) -> None:
    """The generic step of gpt-oss-20b is near those of vLLM and SGLang; it was 2 to 5 times as long."""
    steps = [
        ask(chip, model="gpt-oss-20b", batch=batch, stack=stack).tpot_s
        for stack in ("generic", "vllm", "sglang")
    ]
    generic, *servers = (float(step) for step in steps if step is not None)
    assert 0.73 * min(servers) < generic < 1.2 * max(servers)


def test_one_die_has_one_time_of_prefill() -> None:
    """H800 is the H100 with less NVLink; 144 GB change the memory of a GH200, not its exponentials."""
    words = {"model": "llama-3-8b", "input": "32768", "output": "2"}
    assert ask("h800", **words).ttft_s == ask("h100-sxm", **words).ttft_s
    small, large = (float(ask(chip, **words).ttft_s) for chip in ("gh200", "gh200-144gb"))
    assert large == pytest.approx(small, rel=0.02)


def test_overheads_are_the_makers() -> None:
    names = ("generic-gpu", *(f"generic-gpu-{kin}" for kin in KIN))
    found = [
        CATALOG.profile(name, CATALOG.chip(chip))
        for name, chip in zip(names, ("v100-sxm", "a10g", "h200", "l4", "b200", "rtx-4090"), strict=True)
    ]
    first = found[0]
    assert [item.name for item in found] == list(names)
    for item in found:
        assert item.collectives == first.collectives and item.error == first.error
        assert (item.step_s, item.per_sequence_s, item.per_chip_s) == (
            first.step_s,
            first.per_sequence_s,
            first.per_chip_s,
        )


def test_every_forecast_has_its_band() -> None:
    """Not so what is none: bounds, hypothetical chips, and profiles of collectives alone."""
    without = ("ideal", "generic-hypothetical", "nccl-", "oneccl-", "torch-nccl-", "deepep-", "xla-")
    bare = [
        entry.name
        for entry in CATALOG.entries("profiles")
        if load_file(entry, CATALOG).error is None  # type: ignore[attr-defined]
    ]
    assert bare and all(name.startswith(without) or "-all-reduce-" in name for name in bare), bare


@measured
def test_every_chip_under_its_generation() -> None:
    """Shipped profiles, whose overheads saw these runs; kernels did not."""
    errors: dict[str, list[Any]] = {}
    for card in benchmark().cards():
        shipped = CATALOG.profile("generic", CATALOG.chip(card.chip))
        errors.setdefault(card.chip, []).append(abs(benchmark().errors(card.runs, shipped).all()))
    found = {chip: float(np.concatenate(parts).mean()) for chip, parts in errors.items()}
    assert found.keys() == {"h100-sxm", "a100-sxm-40gb", "gh200", "b200", "h200", "mi300x", "mi355x"}
    assert all(value < 0.225 for value in found.values()), found
    assert max(found["mi300x"], found["mi355x"]) < 0.12


@measured
def test_an_amd_chip_from_the_other() -> None:
    """Nothing of the chip was known: kernels of NVIDIA's parts, overheads of the other AMD part."""
    cards = [card for card in benchmark().cards() if card.maker == "amd"]
    found: dict[str, list[Any]] = {}
    servers: dict[str, list[Any]] = {}
    for item in benchmark().unseen(cards):
        found.setdefault(item.card.chip, []).append(abs(item.left_out))
        if item.card.source == "InferenceMAX":
            servers.setdefault(item.card.chip, []).append(abs(item.left_out))
    errors = {chip: float(np.concatenate(parts).mean()) for chip, parts in found.items()}
    assert errors.keys() == {"mi300x", "mi355x"}
    assert all(value < 0.16 for value in errors.values()), errors
    band = CATALOG.profile("generic", CATALOG.chip("mi300x")).error
    assert band is not None
    inside = [float((np.concatenate(parts) < float(band.tpot)).mean()) for parts in servers.values()]
    assert 2 / 3 < sum(inside) / len(inside) < 0.8, inside  # the chips weigh the same
