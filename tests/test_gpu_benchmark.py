"""The script that measures a machine: what it counts and writes, by hand, and a dry run where PyTorch is."""

from __future__ import annotations

import ast
import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genzcli.catalog.load import Catalog
from genzcli.cli.app import run
from genzcli.cli.measurements import read
from genzcli.explore.validate.endtoend import KIND, predict
from genzcli.explore.validate.kind import Setting
from genzcli.explore.validate.kinds import recognise
from genzcli.spec.model import Attention, Mlp, Moe

FOLDER = Path(__file__).parents[1] / "benchmarks" / "gpu"
FILES = sorted(FOLDER.glob("*.py"))
CATALOG = Catalog()


def _shapes() -> Any:
    spec = importlib.util.spec_from_file_location("gpu_shapes", FOLDER / "shapes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


shapes = _shapes()
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_compiles_and_needs_nothing_but_pytorch(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    known = {*sys.stdlib_module_names, *(item.stem for item in FILES)}
    known |= {"torch"} if path.name != "shapes.py" else set()
    assert {name.split(".")[0] for name in named} <= known


def test_a_gemm_by_hand() -> None:
    item = shapes.Gemm(2, 3, 5)
    assert item.flop == 60  # 6 results of 5 products and 5 additions
    assert item.bytes(stored=1) == 10 + 15 + 2 * 6
    assert item.bytes(stored=2) == 2 * (10 + 15 + 6)


def test_attention_by_hand() -> None:
    """Four tokens see 1 + 2 + 3 + 4 keys; each pair is 16 products and additions, twice."""
    prefill = shapes.Attention(False, 2, 4, 8, 2, 16)
    assert prefill.flop == 2 * 8 * 10 * (2 * 16 * 2)
    assert prefill.bytes() == 2 * (2 * 2 * 8 * 4 * 16 + 2 * 2 * 2 * 4 * 16)
    decode = shapes.Attention(True, 2, 4, 8, 2, 16)
    assert decode.flop == 2 * 8 * 4 * (2 * 16 * 2)
    assert decode.bytes() == 2 * (2 * 2 * 8 * 16 + 2 * 2 * 2 * 4 * 16)


def test_projections_on_one_of_eight_chips() -> None:
    """Llama-3.1-70B: 8 of 64 heads and one KV head of 128, 3584 of 28672 columns, 16032 of 128256 words."""
    assert list(shapes.projections(shapes.LLAMA_70B, 8)) == [
        ("qkv", 1280, 8192),
        ("o", 8192, 1024),
        ("gate_up", 7168, 8192),
        ("down", 8192, 3584),
        ("head", 16032, 8192),
    ]


@pytest.mark.parametrize(
    ("name", "published"),
    [("LLAMA_8B", 8_030_261_248), ("LLAMA_70B", 70_553_706_496), ("LLAMA_1B", 1_235_814_400)],
)
def test_parameters_are_those_of_the_published_checkpoints(name: str, published: int) -> None:
    assert getattr(shapes, name).parameters == published


@pytest.mark.parametrize("name", ["LLAMA_8B", "LLAMA_70B", "LLAMA_1B", "OLMOE"])
def test_shapes_are_the_catalogs(name: str) -> None:
    shape = getattr(shapes, name)
    model = CATALOG.model(shape.name)
    (block,) = model.blocks.values()
    mixer, feed = block.mixer, block.feedforward
    assert isinstance(mixer, Attention)
    assert (shape.layers, shape.d_model, shape.vocab) == (model.layers, model.d_model, model.vocab)
    assert (shape.tied, shape.max_context) == (model.tied_embeddings, model.max_context)
    assert (shape.heads, shape.kv_heads, shape.head_dim) == (mixer.heads, mixer.kv_heads, mixer.head_dim)
    match feed:
        case Mlp():
            assert (shape.experts, shape.d_ff) == (0, feed.d_ff)
        case Moe():
            assert (shape.experts, shape.top_k) == (feed.experts, feed.experts_per_token)
            assert shape.d_ff == feed.d_expert
        case _:
            pytest.fail(f"{shape.name} has no MLP")


def test_a_pass_by_hand() -> None:
    """Llama-3-8B keeps 2 x 32 layers x 8 heads x 128 x 2 B = 128 KiB a token; steps see 129 … 160 keys."""
    item = shapes.Pass(shapes.LLAMA_8B, 4, 128, 33)
    assert item.cache_bytes == 4 * (128 + 33) * 131072
    assert item.steps == 32
    assert abs(item.context - sum(range(129, 161)) / 32) < 1
    assert item.weight_bytes == 2 * 8_030_261_248


def test_rotated_inputs_overflow_the_cache_and_not_the_memory() -> None:
    mib = 1 << 20
    assert shapes.copies(8 * mib, 50 * mib, 80 << 30) == 25
    assert shapes.copies(1, 50 * mib, 80 << 30) == 64
    assert shapes.copies(1 << 30, 50 * mib, 80 << 30) == 2
    assert shapes.copies(30 << 30, 50 * mib, 80 << 30) == 1


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA GB200", "gb200"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40", "nvidia-l40"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
    ],
)
def test_cards_by_the_drivers_name(driver: str, name: str) -> None:
    assert shapes.hardware(driver) == name


def test_every_card_is_in_the_catalog() -> None:
    for name in shapes.CARDS.values():
        assert CATALOG.hardware(name)[0].chip.name == name


def test_the_full_plan_spans_what_the_page_says() -> None:
    plan = shapes.full()
    assert {item.m for item in plan.gemms} == {1 << power for power in range(14)}
    assert len({(item.n, item.k, item.m) for item in plan.gemms}) == len(plan.gemms)
    assert {item.batch for item in plan.passes} == {1, 4, 16, 64, 256}
    assert all(item.input_tokens + item.output_tokens <= item.shape.max_context for item in plan.passes)
    assert {item.shape.experts for item in plan.passes} == {0, 64}


def _written(path: Path) -> str:
    """The quick plan, from a machine slower than an H100 is said to be: 20 % in prefill, 10 % in decode."""
    machine = {"device": "made for this test", "torch_version": "0"}
    items = shapes.quick().passes
    asked = [shapes.pass_row(item, "torch-graph", "h100-sxm", (None, 1.0, 1.0)) for item in items]
    shapes.write(path, shapes.PASS_COLUMNS, asked, machine)
    told = [found.values for found in predict(read(str(path)).rows, Setting(CATALOG))]
    seconds = [(1.2e-3 * found["ttft_ms"], 1.1e-3 * found["tpot_ms"]) for found in told]
    rows = [
        shapes.pass_row(item, "torch-graph", "h100-sxm", (ttft + item.steps * tpot, ttft, tpot))
        for item, (ttft, tpot) in zip(items, seconds, strict=True)
    ]
    shapes.write(path, shapes.PASS_COLUMNS, rows, machine)
    return str(path)


def test_passes_are_serving_runs_of_which_every_row_is_predicted(tmp_path: Path) -> None:
    measurements = read(_written(tmp_path / "passes.csv"))
    assert recognise(measurements.columns).name == KIND.name
    found = list(predict(measurements.rows, Setting(CATALOG)))
    assert [item.reason for item in found] == [None] * len(shapes.quick().passes)
    first = measurements.rows[0].cells
    assert float(first["e2e_s"]) == pytest.approx(
        float(first["ttft_ms"]) / 1e3 + 16 * float(first["tpot_ms"]) / 1e3, rel=1e-4
    )
    assert first["decode_power_w"] == "" and first["device"] == "made for this test"


def test_passes_of_one_card_calibrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within 5 %, though the file is of one chip: what only several show is kept."""
    path = _written(tmp_path / "passes.csv")
    assert run(["calibrate", path, "--keep"]) == 0
    profile, told = capsys.readouterr()
    assert "applies: [h100-sxm]" in profile and "24 runs of 3 models on 1 chip" in told
    mine = tmp_path / "mine.yaml"
    mine.write_text(profile)
    assert run(["validate", path, "--profile", str(mine), "--format", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    ratios = [float(row["predicted_tpot_ms"]) / float(row["tpot_ms"]) for row in rows]
    assert sum(abs(ratio - 1) for ratio in ratios) / len(ratios) < 0.05


def test_kernels_rates_are_their_counts_over_their_time(tmp_path: Path) -> None:
    row = shapes.kernel_row("gemm", 2e-6, 4_000_000, 6_000, of="x", m=1)
    shapes.write(tmp_path / "kernels.csv", shapes.KERNEL_COLUMNS, [row], {})
    (found,) = csv.DictReader((tmp_path / "kernels.csv").read_text().splitlines())
    assert (found["latency_us"], found["tflops"], found["gb_s"]) == ("2", "2", "3")
    assert found["power_w"] == ""


@needs_torch
def test_a_dry_run_writes_both_files(tmp_path: Path) -> None:
    words = ["--device", "cpu", "--tiny", "--repeats", "1", "--into", str(tmp_path)]
    subprocess.run([sys.executable, str(FOLDER / "measure.py"), *words], check=True, timeout=600)
    kernels = list(csv.DictReader((tmp_path / "kernels.csv").read_text().splitlines()))
    plan = shapes.tiny()
    assert sum(row["kernel"] == "gemm" and row["dtype"] == "bf16" for row in kernels) == len(plan.gemms)
    assert sum(row["kernel"].startswith("attention") for row in kernels) == len(plan.attentions)
    assert all(float(row["latency_us"]) > 0 for row in kernels)
    passes = read(str(tmp_path / "passes.csv"))
    assert recognise(passes.columns).name == KIND.name
    assert {row.cells["model"] for row in passes.rows} == {"tiny-dense", "tiny-moe"}
    assert all(row.cells["stack"] == "torch-eager" for row in passes.rows)


#: Runs in a process of its own: a step after a prefill is the last token of a longer prefill, and experts
#: by sorting are each token's experts one by one.
_ARITHMETIC = """
import torch, shapes, decoder
torch.manual_seed(0)
for shape in (shapes.TINY, shapes.TINY_MOE):
    model = decoder.Decoder(shape, "cpu")
    x = decoder.random(3, 8, shape.d_model, device="cpu")
    whole, apart = (model.cache(3, 8)[0] for _ in range(2))
    turns = [decoder.angles(shape, first, count, "cpu") for first, count in ((0, 8), (0, 7), (7, 1))]
    layer = model.layers[0]
    at_once = decoder.through(shape, layer, x, whole, 0, turns[0])[:, -1:]
    decoder.through(shape, layer, x[:, :7], apart, 0, turns[1])
    after = decoder.through(shape, layer, x[:, 7:], apart, 7, turns[2])
    assert torch.allclose(at_once, after, atol=0.1, rtol=0.05), (at_once - after).abs().max()
flat = x.view(-1, shape.d_model)
gates, chosen = (flat @ layer.router.t()).float().softmax(-1).topk(shape.top_k)
slow = [
    sum(g * (decoder.swiglu(row @ layer.gate_up[e].t()) @ layer.down[e].t()) for g, e in zip(*pair))
    for row, *pair in zip(flat, gates, chosen)
]
made = decoder.experts(flat, layer, shape.top_k)
assert torch.allclose(made.float(), torch.stack(slow).float(), atol=0.05, rtol=0.05)
"""


@needs_torch
def test_the_decoder_computes_what_a_decoder_does() -> None:
    subprocess.run([sys.executable, "-c", _ARITHMETIC], cwd=FOLDER, check=True, timeout=600)
