"""Measured serving runs of the data folder, every file in the columns that `genz validate` reads."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from genzcli.catalog.load import Catalog
from genzcli.explore.calibrate import Runs
from genzcli.explore.validate.endtoend import stacks
from genzcli.explore.validate.kind import Row, Setting
from genzcli.explore.validate.servings import measured

#: Runs by hardware and stack.
Groups = dict[tuple[str, str], list[Runs]]

#: What InferenceMAX calls chips and stacks, and models by a part of their names.
_CHIPS = {
    "B200 SXM": "b200",
    "H100 SXM": "h100-sxm",
    "H200 SXM": "h200",
    "MI300X": "mi300x",
    "MI355X": "mi355x",
}
_STACKS = {"trt": "tensorrt-llm"}
_MODELS = {"gpt-oss": "gpt-oss-120b", "DeepSeek-R1": "deepseek-r1"}


def folder() -> Path:
    """Where the files are; without them there is nothing to do."""
    named = os.environ.get("GENZ_DATA")
    if not named:
        raise SystemExit("skipped: GENZ_DATA does not name the folder of measurements")
    return Path(named) / "e2e"


def table(name: str) -> list[dict[str, str]]:
    """A file's lines."""
    with (folder() / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows(tables: Iterable[Mapping[str, str]]) -> list[Row]:
    """Lines as `genz validate` sees them."""
    return [Row(number, cells) for number, cells in enumerate(tables, start=2)]


def static() -> list[Row]:
    """Static batches of LLM-Inference-Bench (arXiv 2411.00136)."""
    return rows(table("llm_inference_bench.csv"))


def servers() -> list[Row]:
    """Servers under steady concurrency, aiconfigurator-core 0.12."""
    return rows(table("nvidia_agg.csv"))


def inferencemax() -> list[Row]:
    """Servers of InferenceMAX, one pool of chips, without drafts."""
    return rows(_inferencemax())


def _inferencemax() -> Iterator[dict[str, str]]:
    for row in table("inferencemax.csv"):
        if row["disagg"] == "True":
            continue
        beside = row["dp_attention"] == "True"
        yield {
            "hardware": _CHIPS[row["hardware"]],
            "stack": _STACKS.get(row["framework"], row["framework"]),
            "model": next(name for part, name in _MODELS.items() if part in row["model"]),
            "precision": row["precision"],
            "chips": row["num_chips"],
            "tp": "1" if beside else row["tp"],
            "attention_dp": row["tp"] if beside else "1",
            "ep": row["ep"],
            "batching": "continuous",
            "concurrency": row["concurrency"],
            "input_tokens": str(round(float(row["isl_mean_est"]))),
            "output_tokens": str(round(float(row["osl_mean_est"]))),
            "ttft_ms": str(1e3 * float(row["ttft_mean_s"])),
            "tpot_ms": str(1e3 * float(row["tpot_mean_s"])),
        }


def rocm() -> list[Row]:
    """Static batches of vLLM's ROCm images of 2025, from the first that ran a step of 8 chips at full speed.

    0.7.3 and 0.8.3 took up to three times as long for the same batches.
    """
    return rows(_rocm())


def _rocm() -> Iterator[dict[str, str]]:
    for row in table("rocm_vllm_mi300x.csv"):
        if row["metric"] != "e2e_s" or row["framework_version"].startswith(("0.7", "0.8.3")):
            continue
        yield {
            "hardware": "mi300x",
            "stack": "vllm",
            "model": "llama-3.1-70b-fp8-kv",
            "precision": "fp8",
            "chips": row["num_chips"],
            "tp": row["tp"],
            "batching": "static",
            "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
            "batch": row["batch_or_concurrency"],
            "e2e_s": row["value"],
        }


def grouped(found: Sequence[Row], targets: Sequence[str]) -> Groups:
    """Runs by hardware and stack."""
    groups: Groups = {}
    for group in stacks(found, Setting(Catalog()))[0]:
        columns = {t: np.array([measured(found[place], t) for place in group.places], float) for t in targets}
        groups.setdefault((group.key.hardware, group.key.stack), []).append(Runs(group, columns))
    return groups
