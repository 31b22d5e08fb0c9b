"""Static batches of LLM-Inference-Bench (arXiv 2411.00136): the errors that docs/accuracy.md states."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from statistics import mean, median

import pytest

from genzcli.catalog.load import Catalog
from genzcli.explore.validate.endtoend import KIND
from genzcli.explore.validate.kind import Predicted, Row, Setting

DATA = os.environ.get("GENZ_DATA")
pytestmark = pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of measurements")
CATALOG = Catalog()


def rows() -> list[Row]:
    with open(Path(str(DATA)) / "e2e" / "llm_inference_bench.csv", encoding="utf-8") as file:
        return [Row(number, cells) for number, cells in enumerate(csv.DictReader(file), start=2)]


@pytest.fixture(scope="module")
def predicted() -> list[tuple[Row, Predicted]]:
    given = rows()
    return list(zip(given, KIND.predict(given, Setting(CATALOG)), strict=True))


def errors(pairs: list[tuple[Row, Predicted]]) -> list[float]:
    return [abs(item.values["e2e_s"] / float(row.cells["e2e_s"]) - 1) for row, item in pairs]


def by_pair(pairs: list[tuple[Row, Predicted]]) -> dict[tuple[str, str], list[tuple[Row, Predicted]]]:
    found: dict[tuple[str, str], list[tuple[Row, Predicted]]] = {}
    for row, item in pairs:
        found.setdefault((row.cells["hardware"], row.cells["stack"]), []).append((row, item))
    return found


def test_every_row_is_predicted(predicted: list[tuple[Row, Predicted]]) -> None:
    assert len(predicted) > 1900
    assert all(item.reason is None for _, item in predicted)
    assert not any("no calibration" in flag for _, item in predicted for flag in item.flags)


def test_all_rows(predicted: list[tuple[Row, Predicted]]) -> None:
    found = errors(predicted)
    assert mean(found) < 0.07
    assert median(found) < 0.045


def test_every_chip_and_stack(predicted: list[tuple[Row, Predicted]]) -> None:
    for pair, items in by_pair(predicted).items():
        assert mean(errors(items)) < (0.16 if pair[0] == "sn40l" else 0.12), pair
        assert median(errors(items)) < (0.13 if pair[0] == "sn40l" else 0.08), pair


def test_two_thirds_of_the_rows_lie_inside_their_band(predicted: list[tuple[Row, Predicted]]) -> None:
    """Bands come from models left out of the fit, so more than two thirds of what was fitted lie inside."""
    for (hardware, stack), items in by_pair(predicted).items():
        profile = CATALOG.profile(stack, CATALOG.chip(hardware), "static")
        assert profile.error is not None and profile.name.startswith(f"{stack}-2024-")
        found = errors(items)
        inside = sum(error <= float(profile.error.e2e) for error in found)
        assert inside + 1 > 0.68 * len(found), profile.name


def test_a_chip_that_the_stack_was_not_fitted_on_has_the_profile_of_its_class() -> None:
    assert CATALOG.profile("vllm-2024", CATALOG.chip("h200")).name == "vllm-2024-gpu"
    assert CATALOG.profile("vllm-2024", CATALOG.chip("mi325x")).name == "vllm-2024-gpu-amd"
    assert CATALOG.profile("vllm", CATALOG.chip("tpu-v6e")).name == "generic-tpu"
