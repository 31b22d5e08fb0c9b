"""One field is changed and everything else stays; or one line says what there is instead."""

from __future__ import annotations

from typing import Any

import pytest
from catalog_samples import Writer

from genzcli.catalog.load import Catalog
from genzcli.catalog.path.change import set_path
from genzcli.errors import GenzError
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Vector
from genzcli.spec.noun import Noun
from genzcli.spec.workload import Plan, Slo

MIXED = """\
name: mixed
source: {paper: x}
d_model: 64
vocab: 100
blocks:
  local: {attention: {heads: 4, kv_heads: 2, head_dim: 16, window: 8}, mlp: {d_ff: 256}}
  global:
    attention: {heads: 4, kv_heads: 2, head_dim: 16}
    moe: {experts: 8, experts_per_token: 2, d_expert: 3}
layers: [{pattern: [local, global], repeat: 2}]
"""


@pytest.fixture
def parts(shop: object) -> dict[str, Noun]:
    catalog = Catalog()
    platform, _ = catalog.hardware("toy")
    return {
        "model": catalog.model("tiny-7b"),
        "platform": platform,
        "usecase": catalog.usecase("chat"),
        "plan": Plan(precision=Precision.of("bf16")),
        "profile": catalog.profile("fast", platform.chip),
    }


def look(parts: dict[str, Noun], expression: str) -> Any:
    return eval(expression, {}, dict(parts))


CHIP = "platform.chip"
LAYER = "model.blocks['layer']"


@pytest.mark.parametrize(
    ("path", "text", "expression", "value"),
    [
        ("memory.hbm.bandwidth", "*2", f"{CHIP}.memory['hbm'].bandwidth_bytes_per_s", 4e12),
        ("chip.memory.hbm.bandwidth", "4TB/s", f"{CHIP}.memory['hbm'].bandwidth_bytes_per_s", 4e12),
        ("platform.chip.memory.hbm.bandwidth", "/2", f"{CHIP}.memory['hbm'].bandwidth_bytes_per_s", 1e12),
        ("memory.hbm.bandwidth_bytes_per_s", "+20%", f"{CHIP}.memory['hbm'].bandwidth_bytes_per_s", 2.4e12),
        ("memory.hbm.capacity", "96 GiB", f"{CHIP}.memory['hbm'].capacity_bytes", 96 * 2**30),
        ("peaks.bf16", "-10%", f"{CHIP}.peaks['bf16']", 9e13),
        ("peaks.bfloat16", "1 PFLOPS", f"{CHIP}.peaks['bf16']", 1e15),
        ("peaks.nvfp4", "1 PFLOPS", f"{CHIP}.peaks['fp4']", 1e15),
        ("power", "700 W", f"{CHIP}.power_w", 700),
        ("price", "$3/h", f"{CHIP}.price_usd_per_hour", 3),
        ("platform.price", "none", "platform.price_usd_per_hour", None),
        ("levels.link.bandwidth", "100 GB/s", "platform.levels[0].bandwidth_bytes_per_s", 100e9),
        ("platform.levels.link.size", "*2", "platform.levels[0].size", 16),
        ("model.d_model", "128", "model.d_model", 128),
        ("model.attention.kv_heads", "4", f"{LAYER}.mixer.kv_heads", 4),
        ("attention.kv_heads", "1", f"{LAYER}.mixer.kv_heads", 1),
        ("model.blocks.layer.attention.kv_heads", "1", f"{LAYER}.mixer.kv_heads", 1),
        ("mlp.d_ff", "*2", f"{LAYER}.feedforward.d_ff", 512),
        ("model.parallel", "true", f"{LAYER}.parallel", True),
        ("model.layers", "40", "model.stack", (("layer", 40),)),
        ("layers", "+50%", "model.layers", 6),
        ("model.precision", "fp8", "model.precision", Precision.of("fp8")),
        ("plan.precision.kv", "e4m3", "plan.precision.kv", "fp8"),
        ("plan.precision.compute", "bf16", "plan.precision.explicit_compute", True),
        ("tp", "8", "plan.tp", 8),
        ("plan.reserve", "20%", "plan.reserve", 0.2),
        ("plan.batching", "continuous", "plan.batching", "continuous"),
        ("flash", "false", "plan.flash", False),
        ("flash", "no", "plan.flash", False),
        ("sp", "Yes", "plan.sp", True),
        ("plan.precision", "w4a16", "plan.precision", Precision.of("w4a16")),
        ("input_tokens", "20k", "usecase.input_tokens", 20_000),
        ("input_tokens", "*2", "usecase.input_tokens", 6000),
        ("slo.ttft", "/2", "usecase.slo", (Slo(metric="ttft", limit=0.1),)),
        ("usecase.slo.ttft", "50 ms", "usecase.slo", (Slo(metric="ttft", limit=0.05),)),
        ("slo.tpot", "10 ms", "usecase.slo[1].limit", 0.01),
        ("profile.operators.default.corner", "inf", "profile.operators['default'].corner", float("inf")),
        ("profile.step", "1 ms", "profile.step_s", 1e-3),
    ],
)
def test_sets(parts: dict[str, Noun], path: str, text: str, expression: str, value: object) -> None:
    before = repr(parts)
    found = look(set_path(parts, path, text), expression)
    assert found == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value)
    assert type(found) is type(value) or isinstance(value, int)
    assert repr(parts) == before


@pytest.mark.parametrize(
    ("path", "text", "owner", "cited"),
    [
        ("memory.hbm.bandwidth_bytes_per_s", "*2", "platform.chip", "memory.hbm.bandwidth"),
        ("platform.chip.power", "1 W", "platform.chip", "power"),
        ("peaks.nvfp4", "1 PFLOPS", "platform.chip", "peaks.fp4"),
        ("levels.link.latency", "1 us", "platform", "levels.link.latency"),
        ("model.attention.heads", "8", "model", "blocks.layer.attention.heads"),
        ("mlp.d_ff", "8", "model", "blocks.layer.mlp.d_ff"),
        ("slo.ttft", "1 s", "usecase", "slo.ttft"),
    ],
)
def test_the_user_is_the_source(parts: dict[str, Noun], path: str, text: str, owner: str, cited: str) -> None:
    after = set_path(parts, path, text)
    old, new = look(parts, owner).sources, look(after, owner).sources
    assert new[cited].kind == "assumed"
    assert new[cited].reference == "set by the user"
    assert {key: source for key, source in new.items() if key != cited} == {
        key: source for key, source in old.items() if key != cited
    }


def test_a_part_that_is_not_there_is_begun_by_the_one_number_it_needs(parts: dict[str, Noun]) -> None:
    assert look(parts, CHIP).vector is None
    changed = set_path(parts, "vector.peak", "10 TFLOPS")
    assert look(changed, CHIP).vector == Vector(peak_flop_per_s=1e13)
    assert look(changed, CHIP).sources["vector.peak"].reference == "set by the user"
    again = set_path(changed, "vector.functions", "1 TOPS")
    assert look(again, CHIP).vector == Vector(peak_flop_per_s=1e13, functions_flop_per_s=1e12)


def refusal(parts: dict[str, Noun], path: str, text: str) -> str:
    with pytest.raises(GenzError) as caught:
        set_path(parts, path, text)
    assert caught.value.cure
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("memory.hbm2.bandwidth", "*2", "there is no 'hbm2' in memory; did you mean hbm? known: hbm"),
        ("memory.hbm.bandwith", "*2", "no 'bandwith' in memory.hbm; did you mean bandwidth? known: capacity"),
        ("chip.memory.hbm.x", "*2", "no 'x' in chip.memory.hbm; known: capacity, bandwidth, role"),
        ("memory.hbm.bandwidth.x", "*2", "memory.hbm.bandwidth: it is one value"),
        ("array.rows", "4", "array: it is not set"),
        ("vector.functions", "4 TOPS", "vector: it is not set"),
        ("vector.peak", "*2", "there is no value that '*2' could change"),
        ("memory.hbm", "*2", "memory.hbm is not one value; known: capacity"),
        ("memory", "*2", "memory is not one value; name a member: hbm"),
        ("chip", "2", "chip is not one value; known: name"),
        ("levels", "2", "name a member: link"),
        ("scale_out.latency", "2 us", "scale_out: it is not set"),
        ("", "2", "this is not a path"),
        ("a..b", "2", "this is not a path"),
        ("chip.", "2", "this is not a path"),
        ("nonsense", "2", "there is no 'nonsense'; `genz show NAME` lists the paths"),
        ("bandwidth", "*2", "did you mean memory.hbm.bandwidth, levels.link.bandwidth? `genz show NAME`"),
        ("bandwith", "*2", "did you mean memory.hbm.bandwidth, levels.link.bandwidth?"),
        ("hbm.capacity", "*2", "did you mean memory.hbm.capacity? "),
        ("link.bandwidth", "*2", "did you mean levels.link.bandwidth? "),
        ("memory.bandwidth", "*2", "did you mean memory.hbm.bandwidth? known: hbm; `genz show toy`"),
        ("efficiency", "2", "profile.operators.default.memory_efficiency"),
        ("kv_heads", "2", "did you mean model.attention.kv_heads?"),
        ("model.stack", "2", "there is no 'stack' in model"),
        ("stack", "vllm", "there is no 'stack'"),
        ("chip.home", "toybox", "there is no 'home' in chip"),
        ("model.moe.experts", "2", "there is no 'moe' in model"),
        ("model.sources", "2", "there is no 'sources' in model"),
        ("reserve", "0.2", "several things have this field; write plan.reserve or profile.reserve"),
        ("plan.reserve", "*2", "there is no value that '*2' could change"),
        ("plan.reserve", "0.99", "must be at most 0.95"),
        ("peaks.fp4", "*2", "there is no value"),
        ("peaks.fq4", "1 PFLOPS", "unknown number format 'fq4'; try nf4, fp4"),
        ("power", "700", "'700' has no unit; write it like 700 W"),
        ("power", "-3 W", "must be above 0 W"),
        ("model.d_model", "1.5", "1.5 is not a whole number"),
        ("model.d_model", "/3", "is not a whole number"),
        ("model.d_model", "inf", "infinity"),
        ("layers", "*1.1", "4.4 is not a whole number"),
        ("attention.kv_heads", "3", "heads 4 is not a multiple of kv_heads 3"),
        ("memory.hbm.role", "cache", "no memory to hold a model"),
        ("power_split.static", "0.9", "add to 1.6, not 1"),
        ("plan.batching", "continous", "did you mean continuous?"),
        ("plan.flash", "maybe", "neither true nor false; write yes or no"),
        ("plan.precision", "fp9", "unknown number format 'fp9'"),
        ("plan.precision.weight", "fp8", "did you mean weights"),
        ("plan.precision.explicit_compute", "true", "no 'explicit_compute'"),
        ("slo.ttft", "-100%", "cannot be met"),
        ("slo.ttft", "200 MB", "MB"),
        ("slo.ttfx", "200", "unknown metric 'ttfx'"),
        ("profile.operators.default.corner", "3", "3 is no corner"),
        ("profile.operators.gemm.corner", "1", "no 'gemm' in profile.operators; known: default"),
    ],
)
def test_refuses(parts: dict[str, Noun], path: str, text: str, says: str) -> None:
    message = refusal(parts, path, text)
    assert message.startswith("--set ")
    assert says in message


def test_blocks_by_name(parts: dict[str, Noun], write: Writer) -> None:
    model = Catalog().model(str(write("mixed.yaml", MIXED)))
    parts = {**parts, "model": model}
    after: Any = set_path(parts, "blocks.local.attention.window", "*2")["model"]
    assert after.blocks["local"].mixer.window == 16
    after = set_path(parts, "model.blocks.global.moe.experts", "16")["model"]
    assert after.blocks["global"].feedforward.experts == 16
    assert "experts_per_token 2 exceeds experts 1" in refusal(parts, "blocks.global.moe.experts", "1")
    assert "did you mean moe" in refusal(parts, "blocks.global.mo.experts", "1")
    assert "of several kinds" in refusal(parts, "layers", "3")
    assert "no 'attention' in model" in refusal(parts, "model.attention.heads", "3")


def test_a_missing_root(parts: dict[str, Noun]) -> None:
    assert "there is no plan here" in refusal({"model": parts["model"]}, "plan.tp", "8")
    assert "there is no chip here" in refusal({"model": parts["model"]}, "chip.power", "8 W")


def test_names_with_dots(parts: dict[str, Noun]) -> None:
    profile: Any = parts["profile"]
    fits = {"default": profile.operators["default"], "gemm.prefill": profile.operators["default"]}
    parts = {**parts, "profile": profile.replace(operators=fits)}
    after: Any = set_path(parts, "operators.gemm.prefill.compute_efficiency", "50%")["profile"]
    assert after.operators["gemm.prefill"].compute_efficiency == 0.5
    assert after.operators["default"].compute_efficiency == 1
