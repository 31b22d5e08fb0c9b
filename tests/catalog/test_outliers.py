"""Which chips stand out, by hand-made catalogs and by chips whose oddity is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from genzcli.catalog.load import Catalog
from genzcli.catalog.outliers import outliers, ratios


def write(folder: Path, name: str, peak: str, bandwidth: str) -> None:
    text = f"""
name: {name}
kind: cpu
vendor: test
source: {{assumed: a test}}
peaks: {{bf16: {peak}}}
memory: {{dram: {{capacity: 16 GB, bandwidth: {bandwidth}}}}}
"""
    (folder / "hardware" / "chips").mkdir(parents=True, exist_ok=True)
    (folder / "hardware" / "chips" / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_a_peak_ten_times_too_high_stands_out(tmp_path: Path) -> None:
    for index, bandwidth in enumerate((90, 95, 100, 105, 110, 120)):
        write(tmp_path, f"plain-{index}", "20 TFLOPS", f"{bandwidth} GB/s")
    write(tmp_path, "odd", "200 TFLOPS", "100 GB/s")
    found = [item for item in outliers(Catalog([str(tmp_path)])) if item.chip.startswith(("plain", "odd"))]
    assert {item.chip for item in found} == {"odd"}
    ridge = next(item for item in found if item.ratio == "ridge point")
    assert ridge.value == pytest.approx(2000)  # 200e12 / 100e9
    assert ridge.among == "cpu"
    assert ridge.factor == pytest.approx(ridge.value / ridge.median)


def test_ratios_of_a_datasheet() -> None:
    # H100 SXM: 989.4 TFLOP/s and 3.35 TB/s make 295 FLOP/byte, 700 W over 989.4 are 0.708 W a TFLOP/s
    found = {name: value for name, _, value in ratios(Catalog().chip("h100-sxm"))}
    assert found["ridge point"] == pytest.approx(295.3, rel=1e-3)
    assert found["power a TFLOP/s"] == pytest.approx(0.7075, rel=1e-3)
    assert found["time to read the memory"] == pytest.approx(85.52e9 / 3.35e12, rel=1e-3)


def test_what_is_made_to_stand_out_does() -> None:
    found = outliers(Catalog())
    ridges = {item.chip for item in found if item.ratio == "ridge point" and item.factor < 0.1}
    assert {"wse-3", "groq-lpu"} <= ridges  # SRAM behind every FLOP
    assert not {"h100-sxm", "h200", "b200", "mi300x"} & {item.chip for item in found}
    assert [abs(item.factor) for item in found if item.factor >= 1] == sorted(
        (item.factor for item in found if item.factor >= 1), reverse=True
    )
