"""A tree becomes a noun, or one line says which key of which line is wrong and what to write."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from genzcli.catalog.build import build
from genzcli.catalog.document import parse
from genzcli.errors import GenzError
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Chip, Platform
from genzcli.spec.model import Mlp, Model, Moe
from genzcli.spec.noun import Noun
from genzcli.spec.profile import Profile
from genzcli.spec.source import Source
from genzcli.spec.workload import Slo, UseCase

CHIP = """\
name: toy
kind: gpu
source: {vendor: datasheet}
peaks:
  bf16: 100 TFLOPS
memory:
  hbm:
    capacity: 80 GiB
    bandwidth: 2 TB/s
power: 300 W
"""
MODEL = """\
name: tiny
source: {paper: "a paper"}
d_model: 64
vocab: 100
layers: 4
attention: {heads: 4, kv_heads: 2, head_dim: 16}
mlp: {d_ff: 256}
"""
MIXED = """\
name: mixed
source: {paper: "a paper"}
d_model: 64
vocab: 100
blocks:
  dense: {attention: {heads: 4, kv_heads: 2, head_dim: 16}, mlp: {d_ff: 256}}
  sparse:
    attention: {heads: 4, kv_heads: 2, head_dim: 16}
    moe: {experts: 8, experts_per_token: 2, d_expert: 32}
layers:
  - dense
  - {block: dense, repeat: 2}
  - {pattern: [dense, sparse], repeat: 2}
"""
PLATFORM = """\
name: box
source: {vendor: datasheet}
chip: toy
levels:
  - {name: link, size: 8, topology: switch, bandwidth: 25 GB/s, links: 18, latency: 0.5 us}
"""
PROFILE = """\
name: ideal
stack: ideal
applies: [any]
source: {derived: "a roofline"}
operators:
  default: {corner: inf}
  gemm.prefill: {compute_efficiency: 72%, corner: 2}
"""


def make(text: str, cls: type[Noun], file: str = "f.yaml") -> Noun:
    return build(parse(text, file), cls, lambda name, where: build(parse(CHIP, "chip.yaml"), Chip))


def refusal(text: str, cls: type[Noun]) -> str:
    with pytest.raises(GenzError) as caught:
        make(text, cls)
    assert "\n" not in str(caught.value)
    assert caught.value.cure, str(caught.value)
    return str(caught.value)


def line_of(text: str, word: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if word in line)


def test_a_chip() -> None:
    chip = build(parse(CHIP, "f.yaml"), Chip)
    assert chip.peaks == {"bf16": 1e14}
    assert chip.memory["hbm"].capacity_bytes == 80 * 2**30
    assert chip.power_w == 300
    assert chip.sources["memory.hbm.bandwidth"] == Source(kind="vendor", reference="datasheet")
    assert set(chip.sources) == {"peaks.bf16", "memory.hbm.capacity", "memory.hbm.bandwidth", "power"}


def test_the_nearest_source_counts() -> None:
    text = CHIP.replace(
        "power: 300 W", 'power: {value: 300 W, source: {measured: "a meter"}, note: "at the wall"}'
    )
    text = text.replace("  hbm:\n", "  hbm:\n    source: {paper: memory}\n")
    chip = build(parse(text, "f.yaml"), Chip)
    assert chip.sources["power"] == Source(kind="measured", reference="a meter", note="at the wall")
    assert chip.sources["memory.hbm.capacity"].reference == "memory"
    assert chip.sources["peaks.bf16"].reference == "datasheet"


def test_named_sources() -> None:
    text = "sources:\n  ds: {vendor: datasheet, note: printed}\n" + CHIP.replace("{vendor: datasheet}", "ds")
    chip = build(parse(text, "f.yaml"), Chip)
    assert chip.sources["power"] == Source(kind="vendor", reference="datasheet", note="printed")
    assert "f.yaml:5: source: there is no source named 'dz' in this file; ds" in refusal(
        text.replace("source: ds", "source: dz"), Chip
    )


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ("source: {vendor: datasheet}\n", "", "peaks.bf16", "this number has no source"),
        ("{vendor: datasheet}", "{rumour: x}", "source", "this is not a source"),
        ("{vendor: datasheet}", "{vendor: x, paper: y}", "source", "this is not a source"),
        ("{vendor: datasheet}", "{vendor: ''}", "source.vendor", "holds no text"),
        ("{vendor: datasheet}", "[x]", "source", "this is not a source"),
        ("kind: gpu", "kind: gpus", "kind", "did you mean gpu? choose from gpu, tpu"),
        ("kind: gpu", "kind: [gpu]", "kind", "holds a list, not text"),
        ("kind: gpu", "kind:", "kind", "has no value"),
        ("power: 300 W", "power: 300", "power", "'300' has no unit; write it like 700 W"),
        ("power: 300 W", "power: 300 GB", "power", "not a quantity in W"),
        ("power: 300 W", "power: -3 W", "power", "-3 W must be above 0 W"),
        ("power: 300 W", "power: [300 W]", "power", "holds a list, not a number"),
        ("power: 300 W", "power: {watts: 3}", "power.watts", "unknown key 'watts'"),
        ("power: 300 W", "power: {note: x}", "power", "'value' is missing"),
        ("power: 300 W", "power: {value: }", "power", "holds nothing, not a number"),
        ("power: 300 W", "powr: 300 W", "powr", "did you mean power"),
        ("power: 300 W", "year: 2022.5", "year", "2022.5 is not a whole number"),
        ("power: 300 W", "year: 1066", "year", "must be at least 1990"),
        ("power: 300 W", "year: inf", "year", "infinity"),
        ("bf16: 100 TFLOPS", "bf61: 100 TFLOPS", "peaks.bf61", "unknown number format 'bf61'; try"),
        ("bf16: 100 TFLOPS", "bf16: nan TFLOPS", "peaks.bf16", "NaN is not a value"),
        ("bf16: 100 TFLOPS", "bf16: 0", "peaks.bf16", "must be above"),
        ("    bandwidth: 2 TB/s\n", "", "memory.hbm", "'bandwidth' is missing; add it: peak of reads"),
        (
            "capacity: 80 GiB",
            "capcity: 80 GiB",
            "memory.hbm.capcity",
            "did you mean capacity? known keys: capacity",
        ),
        ("  bf16: 100 TFLOPS\n", "  {}\n", "peaks", "is empty"),
        ("peaks:\n  bf16: 100 TFLOPS", "peaks: fast", "peaks", "holds 'fast', not a mapping"),
        ("bandwidth: 2 TB/s", "bandwidth: 2 TB/s\n    role: cache", "", "no memory to hold a model"),
        ("power: 300 W", "power_split: {static: 0.9}", "", "add to 1.6, not 1"),
        ("power: 300 W", "power_split: {static: 130%}", "power_split.static", "must be at most 1"),
        ("name: toy", "nome: toy", "nome", "did you mean note, name"),
        ("name: toy\n", "", "", "'name' is missing"),
        ("power: 300 W", "aliases: x", "aliases", "holds 'x', not a list"),
    ],
)
def test_refuses_a_chip(old: str, new: str, path: str, says: str) -> None:
    assert old in CHIP
    text = CHIP.replace(old, new)
    message = refusal(text, Chip)
    assert message.startswith("f.yaml:")
    assert not path or f": {path}: " in message
    assert says in message


def test_the_line_is_that_of_the_key() -> None:
    text = CHIP.replace("bandwidth: 2 TB/s", "bandwidth: fast")
    assert refusal(text, Chip).startswith(f"f.yaml:{line_of(text, 'fast')}: memory.hbm.bandwidth: ")
    text = CHIP.replace("capacity:", "capcity:")
    assert refusal(text, Chip).startswith(f"f.yaml:{line_of(text, 'capcity')}: memory.hbm.capcity: ")


def test_the_same_format_twice() -> None:
    text = CHIP.replace("  bf16: 100 TFLOPS", "  bf16: 100 TFLOPS\n  bfloat16: 90 TFLOPS")
    assert "'bfloat16' is 'bf16' again" in refusal(text, Chip)


def test_null_is_a_value_where_none_is_the_default() -> None:
    assert build(parse(CHIP.replace("300 W", "null"), "f.yaml"), Chip).power_w is None


def test_a_model_of_equal_layers() -> None:
    model = build(parse(MODEL, "f.yaml"), Model)
    assert model.stack == (("layer", 4),)
    assert model.blocks["layer"].feedforward == Mlp(d_ff=256)
    assert model.precision == Precision.of("bf16")
    assert type(model.d_model) is int
    assert model.sources["blocks.layer.attention.heads"].reference == "a paper"
    assert model.sources["layers"].reference == "a paper"


def test_runs_are_merged() -> None:
    model = build(parse(MIXED, "f.yaml"), Model)
    assert model.stack == (("dense", 4), ("sparse", 1), ("dense", 1), ("sparse", 1))
    assert model.layers == 7
    assert isinstance(model.blocks["sparse"].feedforward, Moe)


def test_precision_in_one_word_or_many() -> None:
    assert build(parse(MODEL + "precision: fp8\n", "f.yaml"), Model).precision == Precision.of("fp8")
    mixed = build(parse(MODEL + "precision: {weights: mxfp4, kv: e4m3}\n", "f.yaml"), Model).precision
    assert (mixed.weights, mixed.kv, mixed.activations, mixed.compute) == ("mxfp4", "fp8", "bf16", "bf16")
    assert "f.yaml:8: precision: unknown number format 'fp9'" in refusal(MODEL + "precision: fp9\n", Model)
    assert "did you mean weights" in refusal(MODEL + "precision: {weight: fp8}\n", Model)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("mlp: {d_ff: 256}\n", "", "'mlp' or 'moe' is missing"),
        (
            "mlp: {d_ff: 256}\n",
            "mlp: {d_ff: 256}\nmoe: {experts: 2, experts_per_token: 1, d_expert: 3}\n",
            "exclude",
        ),
        ("layers: 4\n", "", "'layers' is missing"),
        ("layers: 4", "layers: 0", "must be at least 1"),
        ("layers: 4", "layers: 1e9", "must be at most"),
        ("layers: 4", "layers: []", "layers: is empty"),
        ("layers: 4", "layers: [other]", "unknown block 'other'; known blocks: layer"),
        ("layers: 4", "layers: [{pattern: [], repeat: 2}]", "the pattern is empty"),
        ("layers: 4", "layers: [{repeat: 2}]", "needs one of 'block' and 'pattern'"),
        ("layers: 4", "layers: [{block: layer, times: 2}]", "unknown key 'times'"),
        ("layers: 4", "layers: [{pattern: [layer, layer], repeat: 9000}]", "more than 10000 layers"),
        ("layers: 4", "layers: 4\nblocks: {}", "stands beside 'blocks'"),
        ("kv_heads: 2", "kv_heads: 3", "heads 4 is not a multiple of kv_heads 3"),
        (
            "mlp: {d_ff: 256}",
            "moe: {experts: 2, experts_per_token: 3, d_expert: 3}",
            "experts_per_token 3 exceeds",
        ),
        *(
            ("mlp: {d_ff: 256}", f"moe: {{experts: 8, experts_per_token: 4, d_expert: 3, {groups}}}", says)
            for groups, says in (
                ("groups: 3", "8 experts are no 3 equal groups"),
                ("groups: 2, groups_per_token: 3", "groups_per_token 3 exceeds groups 2"),
                ("groups: 4", "a token visits 4 experts, and its groups have 2"),
            )
        ),
        ("mlp: {d_ff: 256}", "mlp: {d_ff: 256, gated: maybe}", "neither true nor false"),
    ],
)
def test_refuses_a_model(old: str, new: str, says: str) -> None:
    assert old in MODEL
    message = refusal(MODEL.replace(old, new), Model)
    assert message.startswith("f.yaml:")
    assert says in message


ENCODER = """\
cross_attention: {heads: 4, kv_heads: 2, head_dim: 16}
encoder:
  layers: 2
  attention: {heads: 4, kv_heads: 4, head_dim: 16}
  mlp: {d_ff: 256}
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("encoder:", "mtp: {modules: 1}\nencoder:", "an mtp module looks across"),
        ("cross_attention: {heads: 4, kv_heads: 2, head_dim: 16}\n", "", "no layer looks at the encoder"),
        ("  layers: 2\n", "  layers: 2\n  streams: {count: 2}\n", "more than attention and an mlp"),
        ("  mlp: {d_ff: 256}", "  short_convolution: {channels: 64}", "exclude each other"),
        (
            "  mlp:",
            "  cross_attention: {heads: 4, kv_heads: 4, head_dim: 16}\n  mlp:",
            "only a decoder looks",
        ),
    ],
)
def test_refuses_an_encoder(old: str, new: str, says: str) -> None:
    assert build(parse(MODEL + ENCODER, "f.yaml"), Model).looks_across
    assert old in ENCODER
    assert says in refusal(MODEL + ENCODER.replace(old, new), Model)


def test_a_number_of_layers_needs_one_block() -> None:
    text = MIXED.partition("layers:")[0] + "layers: 4\n"
    assert "layers: a number cannot say which blocks" in refusal(text, Model)


def test_an_idle_block_is_refused() -> None:
    text = MIXED.partition("layers:")[0] + "layers: [dense]\n"
    assert "no layer uses the block 'sparse'" in refusal(text, Model)


def test_a_platform_by_the_name_of_its_chip() -> None:
    platform = make(PLATFORM, Platform)
    assert isinstance(platform, Platform)
    assert platform.chip.name == "toy"
    assert platform.chips == 8
    assert platform.levels[0].chip_bandwidth_bytes_per_s == pytest.approx(450e9)
    assert "levels.link.bandwidth" in platform.sources


def test_a_platform_with_its_chip_written_out() -> None:
    inline = "".join(f"  {line}\n" for line in CHIP.splitlines())
    platform = make(PLATFORM.replace("chip: toy\n", f"chip:\n{inline}"), Platform)
    assert isinstance(platform, Platform)
    assert platform.chip.peaks == {"bf16": 1e14}
    assert platform.chip.sources["power"] == platform.sources["chip.power"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("chip: toy\n", "", "'chip' is missing"),
        ("topology: switch", "topology: torus", "levels.link.topology: 'torus' is not one of the choices"),
        (", latency: 0.5 us", "", "levels.link: 'latency' is missing"),
        ("levels:\n  - {name: link", "levels:\n  - {nam: link", "unknown key 'nam'"),
        ("size: 8", "size: 8.5", "8.5 is not a whole number"),
    ],
)
def test_refuses_a_platform(old: str, new: str, says: str) -> None:
    assert says in refusal(PLATFORM.replace(old, new), Platform)


def test_two_levels_of_one_name() -> None:
    assert "two levels are named 'link'" in refusal(PLATFORM + PLATFORM.splitlines()[-1] + "\n", Platform)


def test_a_profile() -> None:
    profile = make(PROFILE, Profile)
    assert isinstance(profile, Profile)
    assert profile.operators["default"].corner == math.inf
    assert profile.operators["gemm.prefill"].compute_efficiency == 0.72
    assert "is no corner; take 0.5" in refusal(PROFILE.replace("corner: 2", "corner: 3"), Profile)
    assert "operators has no 'default'" in refusal(PROFILE.replace("default:", "gemm:"), Profile)
    assert "infinity" in refusal(PROFILE + "reserve: inf\n", Profile)


def test_ways_of_a_library() -> None:
    both = "{a: {algorithm: ring, crowding: 1.5}, b: {base: 2 us, most: 1 MB}}"
    ways = f"collectives: {{default: {{ways: {both}}}}}\n"
    profile = make(PROFILE + ways, Profile)
    assert isinstance(profile, Profile)
    found = profile.collectives["default"].ways
    assert (found["a"].crowding, found["a"].most_bytes) == (1.5, None)
    assert (found["b"].algorithm, found["b"].base_s, found["b"].most_bytes) == ("auto", 2e-6, 1e6)
    assert "is no crowding; take halves" in refusal(PROFILE + ways.replace("1.5", "1.2"), Profile)
    assert "infinity" in refusal(PROFILE + ways.replace("1.5", "inf"), Profile)
    endless = ways.replace("a: {algorithm: ring, crowding: 1.5}, ", "")
    assert "every way of 'default' ends at a size" in refusal(PROFILE + endless, Profile)
    assert "algorithm" in refusal(PROFILE + ways.replace("ring", "rings"), Profile)


def test_a_use_case() -> None:
    text = (
        "name: chat\nsource: {paper: x}\ninput_tokens: 3_000\nslo: {ttft: 200 ms, throughput: 50 tokens/s}\n"
    )
    usecase = make(text, UseCase)
    assert isinstance(usecase, UseCase)
    assert usecase.input_tokens == 3000
    assert usecase.slo == (Slo(metric="ttft", limit=0.2), Slo(metric="throughput", limit=50))
    assert set(usecase.sources) == {"input_tokens", "slo.ttft", "slo.throughput"}
    assert make(text.replace("200 ms", "200"), UseCase) == usecase  # a bare time is in ms
    assert "unknown metric 'ttf'" in refusal(text.replace("ttft", "ttf"), UseCase)
    assert "slo.ttft: a limit of 0 cannot be met" in refusal(text.replace("200 ms", "0"), UseCase)
    assert "slo.ttft: this number has no source" in refusal("name: c\nslo: {ttft: 2 s}\n", UseCase)


def test_the_file_is_named_as_the_user_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genzcli.catalog.read import read

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(CHIP.replace("300 W", "300"))
    with pytest.raises(GenzError, match=r"^mine\.yaml:10: power: "):
        build(read(tmp_path / "mine.yaml"), Chip)
