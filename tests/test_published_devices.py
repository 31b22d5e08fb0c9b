"""Phones, laptops and desktop cards beside published speeds: the tables of docs/studies/devices.md."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from test_measured_platforms import benchmark

from genzcli.catalog.load import Catalog
from genzcli.cli.asking.request import from_flags
from genzcli.cli.asking.resolve import resolve
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Estimate

PAGE = Path(__file__).parent.parent / "docs" / "studies" / "devices.md"


@cache
def ask(model: str, hardware: str, precision: str, *, prompt: int, answer: int, stack: str = "") -> Estimate:
    words = {"model": model, "hardware": hardware, "precision": precision, "batch": "1"}
    words |= {"input": f"{prompt}", "output": f"{answer}", **({"stack": stack} if stack else {})}
    return estimate(resolve(from_flags(words)).scenario)


def speed(found: Estimate) -> float:
    assert found.fits
    value = found.metrics.tokens_per_s_per_user
    assert value is not None
    return float(value)


# --- Qualcomm AI Hub ---


def hexagon(row: tuple[str, str, float, float]) -> tuple[float, float]:
    """First piece in ms and tokens a second, as genz has them."""
    chip, model, _, _ = row
    formats = benchmark()._AI_HUB_FORMATS
    first = ask(model, chip, formats, prompt=128, answer=1).metrics.ttft_s
    return 1e3 * float(first), speed(ask(model, chip, formats, prompt=4000, answer=96))


@pytest.mark.parametrize("row", benchmark()._AI_HUB, ids=lambda row: f"{row[0]} {row[1]}")
def test_hexagon(row: tuple[str, str, float, float]) -> None:
    first, tokens = hexagon(row)
    assert first == pytest.approx(row[2], rel=0.36)
    assert tokens == pytest.approx(row[3], rel=0.25)


def test_a_phone_answers_a_plain_question_sensibly() -> None:
    # 23.5 tokens/s published with 8-bit heads and the whole of 4096 slots; plain w4a16 reads less
    assert 20 < speed(ask("llama-3.2-3b", "galaxy-s25", "w4a16", prompt=1000, answer=200)) < 32


# --- llama.cpp ---


class Card(NamedTuple):
    name: str
    precision: str
    published: float


#: README of XiongjieDai/GPU-Benchmarks-on-LLM-Inference: LLaMA 3 8B, average of 1024 generated tokens.
CARDS = (
    Card("rtx-4090", "q4_k_m", 127.74),
    Card("rtx-4090", "fp16", 54.34),
    Card("rtx-3090", "q4_k_m", 111.74),
    Card("rtx-3090", "fp16", 46.51),
    Card("rtx-6000-ada", "q4_k_m", 130.99),
    Card("rtx-6000-ada", "fp16", 51.97),
)


def written(card: Card) -> float:
    return speed(ask("llama-3.1-8b", card.name, card.precision, prompt=1, answer=1024, stack="llama-cpp"))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name} {card.precision}")
def test_llama_cpp_on_cards(card: Card) -> None:
    assert written(card) == pytest.approx(card.published, rel=0.15)


@pytest.mark.parametrize(
    "card", [c for c in CARDS if c.name in ("rtx-3090", "rtx-4090") and c.precision == "fp16"]
)
def test_a_geforce_card_without_a_stack(card: Card) -> None:
    """In 16 bit one user meets the memory, whatever the software."""
    found = speed(ask("llama-3.1-8b", card.name, "fp16", prompt=1, answer=1024, stack="generic"))
    assert found == pytest.approx(card.published, rel=0.07)


@pytest.mark.parametrize(
    ("name", "published", "low"), [("rtx-4090", 9056.26, 0.85), ("rtx-4080", 6714, 0.65)]
)
def test_prompts_of_a_geforce_card(name: str, published: float, low: float) -> None:
    """The same source, 1024 tokens in F16, with FP16 accumulate, at up to twice the rate that serving keeps.

    On the RTX 4080 the 7.5 G weights beside the embeddings pass the FP32 peak, which no server kernel can.
    """
    peak = float(Catalog().chip(name).peaks["fp16"])
    assert (2 * 7.5e9 * published > peak) == (name == "rtx-4080")
    words = {"model": "llama-3-8b", "hardware": name, "precision": "fp16", "batch": "1", "reserve": "0.02"}
    first = estimate(resolve(from_flags({**words, "input": "1024", "output": "2"})).scenario).metrics.ttft_s
    assert low * published < 1024 / float(first) < published


def test_profiles_of_llama_cpp_by_memory() -> None:
    catalog = Catalog()
    named = {name: catalog.profile("llama-cpp", catalog.chip(name)).name for name in ("4090", "l40s", "h100")}
    assert named == {"4090": "llama-cpp-geforce", "l40s": "llama-cpp-gddr", "h100": "llama-cpp-gpu"}
    assert catalog.profile("generic", catalog.chip("snapdragon-8-elite")).name == "generic-hexagon"
    assert catalog.profile("generic", catalog.chip("m4")).name == "generic-edge"


# --- laptops ---


def test_m5_over_m4() -> None:
    """Apple Machine Learning Research, November 2025: TTFT up to 4 x, generation 19 to 27 % faster."""
    old, new = (ask("qwen3-8b", chip, "mlx-4bit", prompt=4096, answer=128) for chip in ("m4", "m5"))
    assert 3 < float(old.metrics.ttft_s) / float(new.metrics.ttft_s) <= 4.05
    assert 1.15 < speed(new) / speed(old) < 1.3  # the memory is 1.28 x faster


def test_a_published_speed_beyond_the_memory() -> None:
    ideal = speed(ask("llama-3.2-3b", "iphone-15-pro", "mlx-4bit", prompt=1024, answer=500, stack="ideal"))
    assert ideal < 30 < 62  # tokens/s that a blog prints


# --- cards' rates ---


@pytest.mark.parametrize(
    ("chip", "fp16", "eight"),
    [
        ("rtx-3090", 71, 284),  # GA102 whitepaper, FP16 with FP32 accumulate, INT8, dense
        ("rtx-4090", 165.2, 660.6),  # Ada whitepaper
        ("rtx-5090", 209.5, 838),  # RTX Blackwell whitepaper
        ("rtx-6000-ada", 364.25, 728.5),  # half of the 1457 sparse TFLOPS in FP8
        ("rtx-a6000", 154.8, 309.7),
        ("a40", 149.7, 299.3),
        ("a10", 125, 250),
        ("l40", 181.05, 362),
        ("l20", 119.5, 239),
    ],
)
def test_rates_of_datasheets(chip: str, fp16: float, eight: float) -> None:
    peaks = Catalog().chip(chip).peaks
    assert float(peaks["fp16"]) / 1e12 == pytest.approx(fp16, rel=0.01)
    assert float(peaks["int8"]) / 1e12 == pytest.approx(eight, rel=0.01)


def test_geforce_multiplies_at_half_rate() -> None:
    """With FP32 accumulate GeForce has a quarter of its INT8 rate, a workstation card of that die half."""
    catalog = Catalog()
    for name, quarter in (("rtx-4090", 4), ("rtx-3090", 4), ("rtx-6000-ada", 2), ("rtx-a6000", 2)):
        peaks = catalog.chip(name).peaks
        assert float(peaks["int8"]) / float(peaks["bf16"]) == pytest.approx(quarter, rel=0.001)


# --- the page ---


def cells(after: str) -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8").split(after, 1)[1]
    table = re.search(r"(?:^\|.*\n)+", text, flags=re.M)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def test_the_pages_table_of_phones() -> None:
    rows = cells("## Phones")
    assert len(rows) == len(benchmark()._AI_HUB)
    for row, (chip, model, tokens, ours, first, our_first) in zip(benchmark()._AI_HUB, rows, strict=True):
        assert (chip, model) == row[:2]
        assert [float(tokens), float(first)] == pytest.approx([row[3], row[2]], rel=0.005)
        assert [float(our_first), float(ours)] == pytest.approx(hexagon(row), rel=0.01)


def test_the_pages_table_of_cards() -> None:
    for card, (name, precision, published, ours) in zip(CARDS, cells("## Cards"), strict=True):
        assert (name, precision, float(published)) == card
        assert float(ours) == pytest.approx(written(card), rel=0.01)


# --- names that people type ---


@pytest.mark.parametrize(
    ("typed", "chip"),
    [
        ("4090", "rtx-4090"),
        ("RTX_4090", "rtx-4090"),
        ("a6000", "rtx-a6000"),
        ("rtx6000-ada", "rtx-6000-ada"),
        ("rtx-pro-6000", "rtx-pro-6000"),
        ("a10", "a10"),  # not the A10G, of half the rate
        ("h100-80gb", "h100-sxm"),
        ("7900xtx", "rx-7900-xtx"),
        ("strix-halo", "ryzen-ai-max-395"),
        ("lunar-lake", "core-ultra-258v"),
        ("orin", "jetson-orin"),
        ("orin-nano", "jetson-orin-nano"),
        ("8-elite", "snapdragon-8-elite"),
        ("910b", "ascend-910b"),
        ("910c", "ascend-910c"),
    ],
)
def test_names_of_chips(typed: str, chip: str) -> None:
    assert Catalog().chip(typed).name == chip


@pytest.mark.parametrize(
    ("typed", "chip", "chips", "rent"),
    [
        ("p4d.24xlarge", "a100-sxm-40gb", 8, 21.96),
        ("aws-p5", "h100-sxm", 8, 55.04),
        ("p5en", "h200", 8, 63.30),
        ("g5", "a10g", 8, 16.29),
        ("g6.48xlarge", "l4", 8, 13.35),
        ("g6e.48xlarge", "l40s", 8, 30.13),
        ("inf2.48xlarge", "inferentia2", 12, 12.98),
        ("trn1.32xlarge", "trainium1", 16, 21.50),
        ("a2-ultragpu-8g", "a100-sxm-80gb", 8, 40.55),
        ("gcp-a3-high", "h100-sxm", 8, 88.49),
        ("Standard_ND96isr_H100_v5", "h100-sxm", 8, 98.32),
        ("azure-nd96isr-mi300x-v5", "mi300x", 8, 48.00),
    ],
)
def test_cloud_instances(typed: str, chip: str, chips: int, rent: float) -> None:
    found = Catalog().platform(typed)
    assert (found.chip.name, found.chips) == (chip, chips)
    assert found.price_usd_per_hour == pytest.approx(rent, abs=0.005)
    assert "20" in found.sources["price"].reference  # a price has a year


@pytest.mark.parametrize(
    ("chip", "gigabytes"), [("m1", 11.45325), ("m1-max", 51.53961), ("m3-ultra", 0.75 * 512 * 1.024**3)]
)
def test_a_mac_leaves_its_gpu_what_metal_says(chip: str, gigabytes: float) -> None:
    """recommendedMaxWorkingSetSize as llama.cpp prints it: 11453.25 MB of 16 GiB, 51539.61 MB of 64."""
    found = Catalog().chip(chip)
    (tier,) = (tier for tier in found.memory.values() if tier.role == "storage")
    assert tier.capacity_bytes * (1 - found.system_share) == pytest.approx(gigabytes * 1e9, rel=0.001)


def test_a_phone_keeps_memory_for_its_system() -> None:
    """8B in 6 bits are 6.6 GB: no app on a phone of 8 GiB has them."""
    from genzcli.cli.asking.evaluate import evaluate
    from genzcli.cli.asking.request import Request
    from genzcli.cli.asking.resolve import resolve

    base = Request(model="llama-3.1-8b", hardware="iphone-16-pro", precision="q6_k")
    answer = evaluate(resolve(base))
    assert not answer.estimate.fits
    assert float(answer.estimate.memory.reserved_bytes) == pytest.approx(0.4 * 8 * 2**30)
    assert evaluate(resolve(base._replace(reserve="0.1"))).estimate.fits
    assert evaluate(resolve(base._replace(model="llama-3.2-3b"))).estimate.fits
