"""The studies under docs/: the orderings of the GenZ paper and the numbers that can be reproduced.

Claims 11 to 15 and Figs. 14, 15, 16 and 20. Where a page prints a table of its own, the table is held here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genzcli.catalog.load import Catalog
from genzcli.cli.app import run
from genzcli.engine.counts.parameters import kv_elements_per_token, parameters
from genzcli.engine.machine.systolic import simulated_cycles

STUDIES = Path(__file__).parent.parent / "docs" / "studies"
Ask = Callable[..., Any]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """One command line in the folder of the studies, as JSON."""
    monkeypatch.chdir(STUDIES)
    monkeypatch.delenv("GENZ_PATH", raising=False)

    def call(*words: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert run([*words, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return call


def page_rows(name: str, after: str) -> dict[str, list[str]]:
    """The first table of a page behind some text: first cell to the others."""
    text = (STUDIES / name).read_text(encoding="utf-8").split(after, 1)[1]
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            first, *rest = (cell.strip() for cell in line.strip("|").split("|"))
            found[first] = rest
        elif found:
            break
    return found


# --- claim 11: Table VI, Fig. 16 ---

COMPUTE, MEMORY, LINKS, LATENCY = WORDS = (
    "peaks.fp8",
    "memory.hbm.bandwidth",
    "levels.scale-up.bandwidth",
    "levels.scale-up.latency",
)
STAGES = {
    "prefill, 1k": ("scaling-prefill.yaml", "ttft_ms", ["input=1000"]),
    "prefill, 32k": ("scaling-prefill.yaml", "ttft_ms", ["input=32000"]),
    "decode, 1k": ("scaling-decode.yaml", "tpot_ms", ["input=1000"]),
    "decode, 32k": ("scaling-decode.yaml", "tpot_ms", ["input=32000"]),
    "chunks of 384, alone": ("scaling-chunks.yaml", "ttft_ms", ["chunk=384", "concurrency=1"]),
    "chunks of 1536, alone": ("scaling-chunks.yaml", "ttft_ms", ["chunk=1536", "concurrency=1"]),
    "chunks of 384, decode beside": ("scaling-chunks.yaml", "tpot_ms", ["chunk=384", "concurrency=256"]),
    "chunks of 1536, decode beside": ("scaling-chunks.yaml", "tpot_ms", ["chunk=1536", "concurrency=256"]),
}


def elasticity(ask: Ask, stage: str, word: str) -> float:
    """Relative change of a stage's time over that of one characteristic, by a difference of 2 %."""
    file, metric, over = STAGES[stage]
    axes = [f"{word}=*0.99,*1.01", *over, *([] if word == COMPUTE else [f"{COMPUTE}=*1"])]
    rows = ask("sweep", file, *(part for axis in axes for part in ("--over", axis)))["rows"]
    assert len(rows) == 2
    return math.log(rows[1][metric] / rows[0][metric]) / math.log(1.01 / 0.99)


@pytest.fixture
def elasticities(ask: Ask) -> dict[str, dict[str, float]]:
    return {stage: {word: elasticity(ask, stage, word) for word in WORDS} for stage in STAGES}


def test_table_6(elasticities: dict[str, dict[str, float]]) -> None:
    short, long = elasticities["prefill, 1k"], elasticities["prefill, 32k"]
    decode = elasticities["decode, 1k"]
    small, large = elasticities["chunks of 384, alone"], elasticities["chunks of 1536, alone"]
    small_full = elasticities["chunks of 384, decode beside"]
    large_full = elasticities["chunks of 1536, decode beside"]
    # FLOPS: prefill, more so of long prompts; large chunks with few requests beside; nothing in decode
    assert long[COMPUTE] < short[COMPUTE] < -0.8
    assert abs(decode[COMPUTE]) < 0.001
    assert large[COMPUTE] < large_full[COMPUTE] < small[COMPUTE] < small_full[COMPUTE]
    # memory bandwidth: decode, in proportion to what is not latency; chunks where decode has piled up
    assert decode[MEMORY] < -0.5 and decode[MEMORY] - decode[LATENCY] == pytest.approx(-1, abs=0.01)
    assert all(abs(stage[MEMORY]) < 0.03 for stage in (short, long, small, large))
    assert small_full[MEMORY] < 2 * small[MEMORY] and large_full[MEMORY] < 2 * large[MEMORY]
    # links: prefill and large chunks, not decode
    assert max(short[LINKS], long[LINKS], large[LINKS]) < small[LINKS] < -0.05 < decode[LINKS]
    # latency: decode most, then small chunks; short prompts more than long ones
    assert decode[LATENCY] > 3 * small[LATENCY] > 3 * large[LATENCY] > 0
    assert short[LATENCY] > 10 * long[LATENCY]


def test_the_pages_elasticities(elasticities: dict[str, dict[str, float]]) -> None:
    rows = page_rows("scaling.md", "## Elasticities")
    for stage, found in elasticities.items():
        printed = [float(cell.replace("−", "-")) for cell in rows[stage]]
        assert printed == pytest.approx([found[word] for word in WORDS], abs=0.006), stage


def test_fig_16_a_short_prompt_stops_gaining_at_2000_flop_a_byte(ask: Ask) -> None:
    # 1000 tokens x 2 FLOP over one byte of weight are 2000 FLOP/byte: 24 PFLOP/s beside 12 TB/s
    rows = ask("sweep", "scaling-prefill.yaml", "--over", "input=1000", "--over", "peaks.fp8=*8,*12,*16,*64")
    at_16, at_24, at_32, at_128 = (row["ttft_ms"] for row in rows["rows"])
    assert at_16 > 1.05 * at_24
    assert at_24 == pytest.approx(at_128, rel=0.02) and at_32 == pytest.approx(at_128, rel=0.002)


def test_fig_16_latency_makes_most_of_a_step_on_a_ring_of_slow_links(ask: Ask) -> None:
    over = ("--over", "levels.scale-up.latency=2.5us,0s", "--over", "peaks.fp8=*1", "--over", "input=1000")
    slow, none = (row["tpot_ms"] for row in ask("sweep", "scaling-decode.yaml", *over)["rows"])
    # two all-reduces a layer and that of the embedding, 2 x 31 hops of 2.5 us each, 31 for the logits
    assert slow - none == pytest.approx((2 * 128 + 1.5) * 62 * 2.5e-3, rel=0.001)
    assert slow - none > 0.5 * slow


# --- claim 12: Table VII, Fig. 17 ---

PLATFORMS = ("GPUs", "wafer", "SRAM chips", "ASICs")
MODELS = ("8B", "70B", "405B", "GPT-3", "GPT-4", "5T")


@pytest.fixture
def four(ask: Ask) -> dict[tuple[str, str], tuple[float, float, float, float] | None]:
    """Prefill ms, decode ms, prefill and decode mJ a token of each model and platform; None: no room."""
    found: dict[tuple[str, str], tuple[float, float, float, float] | None] = {}
    for result in ask("check", "four-platforms.yaml", code=3)["results"]:
        model, _, platform = result["name"].partition(" on ")
        if not result["fits"]:
            found[model, platform] = None
            continue
        prefill, decode = result["phases"]["prefill"], result["phases"]["decode"]
        joules = prefill["energy_j"] / (4 * 3000), decode["energy_j"] / 4
        found[model, platform] = (
            prefill["time_ms"],
            result["metrics"]["tpot_ms"],
            *(1e3 * each for each in joules),
        )
    return found


def best(four: Any, model: str, column: int) -> set[str]:
    values = {name: four[model, name][column] for name in PLATFORMS if four[model, name] is not None}
    return {name for name, value in values.items() if value <= 1.0001 * min(values.values())}


def test_fig_17_throughput(four: Any) -> None:
    assert all(best(four, model, 0) == {"wafer"} for model in ("8B", "70B", "405B", "GPT-3"))
    assert all(best(four, model, 0) == {"ASICs"} for model in ("GPT-4", "5T"))
    for column in (0, 1):  # what fits into SRAM: 8B on both
        chips, wafer = four["8B", "SRAM chips"][column], four["8B", "wafer"][column]
        assert max(chips, wafer) < min(four["8B", "GPUs"][column], four["8B", "ASICs"][column])
    assert best(four, "70B", 1) == {"SRAM chips"}  # which fits into those of 1024 chips alone
    assert all(best(four, model, 1) == {"GPUs", "ASICs"} for model in MODELS[2:])


def test_fig_17_energy(four: Any) -> None:
    assert all(best(four, model, 2) == {"wafer"} for model in MODELS)
    assert best(four, "8B", 3) == {"wafer"}
    assert all(best(four, model, 3) == {"GPUs"} for model in MODELS[1:])
    worst = max(four["8B", name][3] for name in PLATFORMS)
    assert four["8B", "SRAM chips"][3] == worst


def test_fig_17_what_does_not_fit(four: Any) -> None:
    assert {key for key, value in four.items() if value is None} == {
        (model, "SRAM chips") for model in ("405B", "GPT-3", "GPT-4", "5T")
    }


def test_the_pages_table_of_four_platforms(four: Any) -> None:
    text = (STUDIES / "four-platforms.md").read_text(encoding="utf-8")
    column = -1
    seen = 0
    for line in text.splitlines():
        first, *cells = (cell.strip(" *") for cell in line.strip("|").split("|"))
        column += first in ("prefill, ms", "decode step, ms", "prefill, mJ a token", "decode, mJ a token")
        if first not in MODELS or not line.startswith("|"):
            continue
        for name, cell in zip(PLATFORMS, cells, strict=True):
            value = four[first, name]
            assert (value is None) == (cell == "X")
            if value is not None:
                assert float(cell) == pytest.approx(value[column], rel=0.006), line
                seen += 1
    assert seen == 4 * 20


# --- claim 13: Tables VIII and IX, Fig. 18 ---


@pytest.mark.parametrize("batch", ["4", "32"])
def test_fig_18(ask: Ask, batch: str) -> None:
    rows = ask("sweep", "networks.yaml", "--over", f"batch={batch}")["rows"]
    times: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}
    for row in rows:
        key = row["model"], row["input_tokens"]
        times.setdefault(key, {})[row["hardware"][-1]] = row["ttft_ms"], row["tpot_ms"]
    assert len(times) == 8
    for found in times.values():
        a, b, c, d, e = (found[name] for name in "abcde")
        for phase in (0, 1):
            assert d[phase] == min(found[name][phase] for name in "abde")
            assert a[phase] == max(found[name][phase] for name in "abcde") > 1.2 * d[phase]
            assert e[phase] <= 1.01 * d[phase]
            assert c[phase] <= 1.02 * d[phase]
        assert b[0] <= 1.04 * d[0]
        assert b[1] >= e[1]


def test_the_pages_levels_are_those_of_table_8() -> None:
    import yaml

    text = (STUDIES / "networks.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", text, flags=re.S)
    assert found
    levels = {level["name"]: level for level in yaml.safe_load(found[1])["levels"]}
    printed = {"scale-up": (1800, "500 ns"), "infiniband": (256, "10 us"), "optical": (900, "200 ns")}
    for name, (speed, latency) in printed.items():
        level = levels[name]
        assert float(level["bandwidth"].removesuffix(" GB/s")) * level["links"] == speed
        assert level["latency"] == latency


# --- claim 14: Fig. 19 ---


def test_fig_19(ask: Ask) -> None:
    rows = ask("sweep", "microarchitecture.yaml")["rows"]
    on_host = ask(
        *("sweep", "microarchitecture.yaml", "--over", "hardware=study-array-128-cpu"),
        *("--over", "attention_on=host"),
    )["rows"]
    large = {row["input_tokens"]: row["ttft_ms"] for row in rows if row["chip"] == "study-array-256"}
    small = {row["input_tokens"]: row["ttft_ms"] for row in rows if row["chip"] == "study-array-128"}
    host = {row["input_tokens"]: row["ttft_ms"] for row in on_host}
    assert list(large) == list(small) == list(host) and len(host) == 6
    held = [tokens for tokens in large if large[tokens] is not None]
    assert held == [tokens for tokens in small if small[tokens] is not None] == [1024, 2048, 4096]
    assert all(small[tokens] < large[tokens] < host[tokens] for tokens in held)
    assert all(host[tokens] is not None for tokens in host)
    ratios = [host[tokens] / small[tokens] for tokens in held]
    assert ratios == sorted(ratios)  # the further the cache grows, the more the CPU costs


def test_fig_19_by_scale_sims_own_count() -> None:
    # An MLP matrix of Llama-3-8B; four cores share the tiles of one.
    def ratio(tokens: int) -> float:
        one = simulated_cycles("ws", 256, 256, tokens, 14336, 4096)
        four = simulated_cycles("ws", 128, 128, tokens, 14336, 4096) / 4
        return float(one / four)

    assert ratio(1024) == pytest.approx((766 + 1024) / (382 + 1024), rel=1e-3)  # 2 R + C - 2 + m a tile
    assert ratio(1024) == pytest.approx(1.27, abs=0.01) and ratio(4096) == pytest.approx(1.09, abs=0.01)


# --- claim 15 and Figs. 14, 15, 20 ---


def needs(ask: Ask, *words: str) -> dict[str, float]:
    found = ask("size", *words, "--needs")["results"]
    return {item["resource"]: item["needs"] for item in found if not item["together"]}


ASSISTANT = ("moe-10t", "paper-npu", "-n", "1", "-u", "ai-assistant", "--precision", "fp8")


def test_claim_15_the_assistant(ask: Ask) -> None:
    found = needs(ask, *ASSISTANT, "--beams", "1", "--set", "attention.kv_heads=108")
    assert found["memory bandwidth"] == pytest.approx(40e12, rel=0.06)
    # 9.4 TB of weights and 7 TB of cache, where the paper prints about 15 TB
    model = Catalog().model("moe-10t")
    cache = 9 * kv_elements_per_token(model) * 2_002_000
    assert found["memory capacity"] == pytest.approx(parameters(model).total + cache, rel=0.01)
    assert found["memory capacity"] == pytest.approx(15e12, rel=0.12)
    as_printed = needs(ask, *ASSISTANT)
    assert as_printed["memory bandwidth"] < 0.6 * found["memory bandwidth"]


def test_fig_20_capacity_outgrows_bandwidth(ask: Ask) -> None:
    rows = ask("sweep", "assistant.yaml")["rows"]
    assert [row["verdict"] for row in rows] == ["pass", "pass", "pass", "fail"]  # 209 ms at 2M, 40 TB/s
    bandwidth = [row["tpot_ms"] / 200 * 40e12 / 1.2e12 for row in rows]  # stacks of HBM3e
    capacity = [row["used_bytes"] / 36e9 for row in rows]
    assert all(large > 10 * few for large, few in zip(capacity, bandwidth, strict=True))


REQUIRED = ("llama-2-7b", "mixtral-8x7b", "llama-3-70b", "gpt-3-175b", "gpt-4-1.8t")
LIMITS = {"qa": (0.2, 10), "chat": (0.2, 10), "qa-rag": (0.4, 10)}
LIMITS |= {"summarization": (2, 20), "code-generation": (0.5, 20)}
FP8 = "weights=fp8,kv=fp8,activations=fp8,compute=fp8"


@pytest.fixture
def required(ask: Ask) -> dict[tuple[str, str], tuple[float, float, float]]:
    """PFLOP/s, TB/s and GB of each model and use case."""
    compute = ask("sweep", "requirements-compute.yaml")["rows"]
    bandwidth = ask("sweep", "requirements-bandwidth.yaml")["rows"]
    found = {}
    for one, other in zip(compute, bandwidth, strict=True):
        ttft, tpot = LIMITS[one["usecase"]]
        memory = (one["weights_bytes"] + one["kv_bytes"]) / 1e9
        found[one["model"], one["usecase"]] = one["ttft_ms"] / 1e3 / ttft, other["tpot_ms"] / tpot, memory
    return found


def test_figs_14_and_15_are_what_size_needs_says(ask: Ask, required: Any) -> None:
    for model, usecase in (("gpt-4-1.8t", "qa"), ("llama-2-7b", "code-generation")):
        words = (model, "paper-npu", "-n", "1", "-u", usecase, "--precision", FP8)
        found = needs(ask, *words, "--stack", "ideal")
        compute, bandwidth, _ = required[model, usecase]
        assert compute * 1e15 == pytest.approx(found["compute"], rel=0.01)
        assert bandwidth * 1e12 == pytest.approx(found["memory bandwidth"], rel=0.01)


def test_fig_14_memory_by_hand(required: Any) -> None:
    # 2 B (tp + Sb td) Hkv dh L: GPT-3, 20,000 + 4 x 50 tokens x 2 x 96 x 96 x 128 bytes
    cache = 20_200 * 2 * 96 * 96 * 128 / 1e9
    assert required["gpt-3-175b", "code-generation"][2] == pytest.approx(175 + cache, rel=0.005)


def test_fig_15_rag_over_questions(required: Any) -> None:
    ratios = [required[model, "qa-rag"][0] / required[model, "qa"][0] for model in REQUIRED]
    assert sum(ratios) / 5 == pytest.approx(5.41, rel=0.01)
    four_beams = required["gpt-4-1.8t", "qa-rag"][1] / required["gpt-4-1.8t", "qa"][1]
    assert 1.02 < four_beams < 1.05


def test_fig_15_gpt_4_with_one_beam(ask: Ask) -> None:
    one = {
        name: needs(ask, "gpt-4-1.8t", "paper-npu", "-n", "1", "-u", name, "--beams", "1", "--precision", FP8)
        for name in ("qa", "qa-rag")
    }
    assert one["qa-rag"]["memory bandwidth"] / one["qa"]["memory bandwidth"] == pytest.approx(1.08, abs=0.01)


# --- Llama-2-70B on GroqRacks ---


def test_groq_racks(ask: Ask) -> None:
    words = ("compare", "llama-2-70b", "groqrack", "--change", "precision=int8", "--fit", "-i", "550")
    half, eight = ask(*words, "-o", "150")["results"]
    # 69 GB in 8 bit over 230.7 MB are 299 chips at least, 138 GB 598
    assert half["scenario"]["chips"] >= 598 and eight["scenario"]["chips"] >= 299
    assert half["scenario"]["chips"] % 64 == eight["scenario"]["chips"] % 64 == 0
    found = ask(
        "run", "llama-2-70b", "groqrack", "-n", "576", "--precision", "int8", "-i", "550", "-o", "150"
    )
    assert found["metrics"]["tokens_per_s_per_user"] == pytest.approx(300, rel=0.1)  # fitted on
    assert found["metrics"]["tokens_per_s_per_user"] / 255 == pytest.approx(1, abs=0.25)
    assert 185 < found["metrics"]["output_tokens_per_s"] < 2 * 185
