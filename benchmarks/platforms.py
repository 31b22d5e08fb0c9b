"""Predicted and measured on platforms of every kind: one line a chip, software and metric.

    python benchmarks/platforms.py DATA [--rows]

DATA is the folder that GENZ_DATA names for the tests. Prints the table of docs/studies/platforms.md, which
is between its markers; `--write` puts it there, `--rows` prints every row in place of it.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from genzcli.cli.asking.request import from_flags
from genzcli.cli.asking.resolve import load, resolve
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Metrics
from genzcli.errors import GenzError
from genzcli.numeric import Number

PAGE = Path(__file__).parent.parent / "docs" / "studies" / "platforms.md"
_MARK = "<!-- benchmarks/platforms.py -->"


class Row(NamedTuple):
    """One measured number, and the question that asks for it in the words of `genz run`."""

    chip: str
    software: str
    words: Mapping[str, str]
    metric: str
    measured: float


class Group(NamedTuple):
    """The errors of one chip, software and metric. Factors: 1 is right."""

    chip: str
    software: str
    metric: str
    rows: int
    models: int
    profile: str
    bias: float  # geometric mean of predicted / measured
    error: float  # exp of the mean absolute logarithm
    skipped: int


#: What a metric is called, and its value in the unit of the files.
_METRICS: Mapping[str, tuple[str, Callable[[Metrics], Number | None]]] = {
    "ttft_ms": ("TTFT", lambda found: 1e3 * found.ttft_s),
    "tpot_ms": ("TPOT", lambda found: None if found.tpot_s is None else 1e3 * found.tpot_s),
    "e2e_s": ("E2E", lambda found: found.e2e_s),
    "per_user_tok_s": ("tokens/s a user", lambda found: found.tokens_per_s_per_user),
    "output_tok_s": ("output tokens/s", lambda found: found.output_tokens_per_s),
    "prefill_tok_s": ("prompt tokens/s", lambda found: 1 / found.ttft_s),  # times the prompt
}

# --- what the files say, as questions ---

_NAMES = (("meta-", ""), ("-instruct", ""), ("-hf", ""), ("-chat", ""), ("-it$", ""), ("-v0.1$", ""))
_RENAMED = {"mistral-7b-v0.3": "mistral-7b-v0.2", "mistral-7b": "mistral-7b-v0.1", "qwq-32b": "qwen2.5-32b"}
_RENAMED |= {"qwen2.5-coder-1.5b": "qwen2.5-1.5b"}


def model_of(name: str) -> str:
    """The catalog's name of a Hugging Face repository."""
    short = name.rpartition("/")[2].lower()
    for pattern, text in _NAMES:
        short = re.sub(pattern, text, short)
    return _RENAMED.get(short, short)


_FORMATS = (
    ("q4_k", "q4_k_m"),
    ("int4", "int4g64"),
    ("mxfp4", "mxfp4"),
    ("int8", "int8"),
    ("fp8", "fp8"),
    ("bfp8", "fp8"),
    ("bf16", "bf16"),
    ("f16", "fp16"),
    ("fp16", "fp16"),
)


def _format(text: str) -> str:
    low = text.lower()
    return next((name for mark, name in _FORMATS if mark in low), "")


def _read(folder: str, name: str) -> Iterator[dict[str, str]]:
    with open(os.path.join(folder, "e2e", name), encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _neuron(folder: str) -> Iterator[Row]:
    """Static batches on Inferentia2; servers on Trainium2, without speculation."""
    for row in _read(folder, "aws_neuron_docs.csv"):
        speculates = any(word in row["notes"] for word in ("speculative", "EAGLE"))
        if "INCONSISTENT" in row["notes"] or speculates or row["metric"] not in ("ttft_ms", "tpot_ms"):
            continue
        chips = row["num_chips"]
        inf = row["hardware"] == "Inferentia2"
        word = "batch" if inf else "concurrency"
        stored = _format(row["weight_dtype"])
        precision = f"weights={stored},kv=bf16,activations=bf16,compute=bf16"
        words = {"hardware": "inferentia2" if inf else "trainium2", "chips": chips, "tp": chips}
        words |= {"uneven": "pad", "precision": precision, word: row["batch_or_concurrency"]}
        software = "Transformers NeuronX" if inf else "NxD, vLLM"
        yield _row(row, words["hardware"], software, words)


def _tpu(folder: str) -> Iterator[Row]:
    """Servers; lengths of ShareGPT's requests as in the vLLM paper (arXiv 2309.06180, Fig. 11)."""
    for row in _read(folder, "google_tpu.csv"):
        if "regression" in row["notes"] and row["date"] == "2024-07-29":
            continue
        words = {"hardware": "tpu-v5e", "chips": row["num_chips"], "input": "161", "output": "338"}
        copies = "gemma-2b" in row["model"]
        words |= {"dp": row["num_chips"]} if copies else {"tp": row["num_chips"], "uneven": "pad"}
        stored = _format(row["weight_dtype"])
        words |= {
            "precision": f"weights={stored},kv={_format(row['kv_dtype'])},activations=bf16,compute=bf16"
        }
        words |= {"concurrency": f"{float(row['batch_or_concurrency']):.0f}"}
        yield _row(row, "tpu-v5e", "JetStream-PyTorch", words)


def _gaudi(folder: str) -> Iterator[Row]:
    for row in _read(folder, "intel_gaudi.csv"):
        words = {"hardware": "gaudi2", "chips": row["num_chips"], "tp": row["num_chips"], "precision": "fp8"}
        words |= {"batch": row["batch_or_concurrency"]}
        yield _row(row, "gaudi2", "Optimum Habana, FP8", words)


def _sn40l(folder: str) -> Iterator[Row]:
    for row in _read(folder, "llm_inference_bench.csv"):
        if row["hardware"] == "sn40l":
            words = {"hardware": "sn40l", "model": row["model"], "chips": row["chips"], "tp": row["tp"]}
            words |= {"precision": row["precision"], "batch": row["batch"]}
            words |= {"input": row["input_tokens"], "output": row["output_tokens"]}
            yield Row("sn40l", "SambaFlow", words, "e2e_s", float(row["e2e_s"]))


def _apple(folder: str) -> Iterator[Row]:
    for row in _read(folder, "apple_m4max.csv"):
        if row["metric"] not in ("per_user_tok_s", "prefill_tok_s"):
            continue  # prompts of unknown length have no comparable first token
        software = row["framework"].split()[0].replace("Apple", "Core AI").replace("mlx-swift", "MLX")
        stored = _format(row["weight_dtype"])
        precision = f"weights={stored},kv=fp16,activations=fp16,compute=fp16"
        words = {"hardware": "m4-max", "batch": "1", "precision": precision}
        words |= {"stack": "llama-cpp"} if software == "llama.cpp" else {}
        yield _row({**row, "input_tokens": row["input_tokens"] or "30"}, "m4-max", software, words)


_ADA = {"4000": 20, "5000": 32, "6000": 48}
_GEFORCE = ("3070 8GB", "3080 10GB", "3080 Ti 12GB", "3090 24GB", "4070 Ti 12GB", "4080 16GB", "4090 24GB")
_LLAMA_CPP = {
    "A100 PCIe 80GB": "a100-pcie-80gb",
    "A100 SXM 80GB": "a100-sxm-80gb",
    "H100 PCIe 80GB": "h100-pcie",
}
_LLAMA_CPP |= {"L40S 48GB": "l40s", "A40 48GB": "a40", "RTX A6000 48GB": "rtx-a6000"}
_LLAMA_CPP |= {f"RTX {size} Ada {gigabytes}GB": f"rtx-{size}-ada" for size, gigabytes in _ADA.items()}
_LLAMA_CPP |= {f"RTX {card}": f"rtx-{card.rpartition(' ')[0].lower().replace(' ', '-')}" for card in _GEFORCE}
_LLAMA_CPP |= {"Apple M1 7-core GPU 8GB": "m1", "Apple M1 Max 32-core GPU 64GB": "m1-max"}


def _llama_cpp(folder: str) -> Iterator[Row]:
    """One user; several cards hold a range of layers each."""
    for row in _read(folder, "llamacpp_gpu_apple.csv"):
        chip = _LLAMA_CPP.get(row["hardware"])
        if chip is None:
            continue
        stored = _format(row["weight_dtype"])
        precision = f"weights={stored},kv=fp16,activations=fp16,compute=fp16"
        words = {"hardware": chip, "chips": row["num_chips"], "pp": row["num_chips"], "precision": precision}
        words |= {"batch": "1", "stack": "llama-cpp"}
        output = row["output_tokens"] if row["metric"] == "per_user_tok_s" else "1"
        entry = {**row, "input_tokens": _or(row["input_tokens"], "1"), "output_tokens": output}
        yield _row(entry, chip, "llama.cpp", words)


def _mlc(folder: str) -> Iterator[Row]:
    chips = {"A10G": "a10g", "A100 80GB PCIe (assumed)": "a100-pcie-80gb"}
    chips |= {"RTX 4090": "rtx-4090", "RTX 3090 Ti": "rtx-3090-ti", "RX 7900 XTX": "rx-7900-xtx"}
    for row in _read(folder, "mlc_llm_perf.csv"):
        chip = chips.get(row["hardware"])
        if chip is None or row["framework"].lower().startswith("llama.cpp"):
            continue
        stored = _format(row["weight_dtype"])
        precision = f"weights={stored},kv=fp16,activations=fp16,compute=fp16"
        words = {"hardware": chip, "chips": row["num_chips"], "tp": row["num_chips"], "precision": precision}
        yield _row(row, chip, row["framework"], {**words, "batch": "1"})


def _hailo(folder: str) -> Iterator[Row]:
    """The prompt is not stated; decode hardly depends on it."""
    for row in _read(folder, "hailo10h.csv"):
        if row["metric"] == "per_user_tok_s" and "SUSPECT" not in row["notes"]:
            words = {"hardware": "hailo-10h", "batch": "1", "precision": "weights=int4,kv=int8,compute=int8"}
            yield _row({**row, "input_tokens": "100", "output_tokens": "100"}, "hailo-10h", "HailoRT", words)


def _tenstorrent(folder: str) -> Iterator[Row]:
    """Formats are not stated: 8 bit in attention, 4 in the MLP, 6 in the mean."""
    for row in _read(folder, "tenstorrent.csv"):
        tp = int(row["tp"])
        if row["metric"] not in ("ttft_ms", "tpot_ms") or int(row["num_chips"]) != tp:
            continue
        hardware = "wormhole" if tp <= 8 else "galaxy-wormhole"
        words = {"hardware": hardware, "chips": row["num_chips"], "tp": row["tp"], "uneven": "pad"}
        words |= {"precision": "weights=fp6,kv=fp8,activations=bf16,compute=fp8"}
        prompt = row["metric"] == "ttft_ms"  # of one user
        words |= {"batch": "1" if prompt else row["batch_or_concurrency"]}
        yield _row({**row, "output_tokens": "2"}, hardware, "TT-Metalium", words)


_AI_HUB_FORMATS = "weights=int4,embeddings=int8,kv=int8,activations=fp16,compute=fp16"

#: Genie on Hexagon NPUs, w4a16, as quic/ai-hub-models publishes it in each model's perf.yaml (2025 and 2026):
#: milliseconds of a first piece of 128 tokens, tokens a second over a cache of 4096 slots, all computed.
_AI_HUB = (
    ("snapdragon-8-gen-3", "phi-3.5-mini-3.8b", 146.9, 13.01),
    ("snapdragon-8-elite", "llama-3.2-1b", 37.07, 53.64),
    ("snapdragon-8-elite", "llama-3.2-3b", 88.20, 23.47),
    ("snapdragon-8-elite", "phi-3.5-mini-3.8b", 119.6, 14.73),
    ("snapdragon-8-elite", "mistral-7b-v0.2", 165.7, 12.56),
    ("snapdragon-8-elite", "qwen2.5-7b", 135.7, 15.40),
    ("snapdragon-8-elite", "llama-3.1-8b", 154.5, 13.05),
    ("snapdragon-8-elite-gen5", "llama-3.2-1b", 30.94, 64.04),
    ("snapdragon-8-elite-gen5", "llama-3.2-3b", 58.02, 29.48),
    ("snapdragon-8-elite-gen5", "llama-3.1-8b", 110.0, 14.92),
    ("snapdragon-x-elite", "llama-3.2-3b", 125.9, 18.42),
    ("snapdragon-x-elite", "qwen2.5-7b", 174.9, 12.34),
    ("snapdragon-x-elite", "llama-3.1-8b", 207.7, 9.357),
)


def _ai_hub(folder: str) -> Iterator[Row]:
    for chip, model, first, speed in _AI_HUB:
        words = {"hardware": chip, "model": model, "batch": "1", "precision": _AI_HUB_FORMATS}
        yield Row(chip, "Genie", {**words, "input": "128", "output": "1"}, "ttft_ms", first)
        yield Row(chip, "Genie", {**words, "input": "4000", "output": "96"}, "per_user_tok_s", speed)


#: One user on phones, laptops and small desktops: chip, software, model, format, prompt, answer, tokens/s.
_DESKS = (
    # apple-silicon-llm-bench, iPhone 17 Pro, July 2026: short chat, warm
    ("a19-pro", "MLX", "qwen3-0.6b", "mlx-4bit", "20", "128", 158.8),
    # a developer's blog on an app, February 2026: iPhone 17 Pro and iPad Pro, the shortest of three prompts
    ("a19-pro", "MLX", "lfm2-1.2b", "mlx-4bit", "64", "128", 70.0),
    ("m5", "MLX", "lfm2-1.2b", "mlx-4bit", "64", "128", 124.0),
    # normiebench, March 2026: llama-bench tg128 on a Mac mini
    ("m4", "llama.cpp", "llama-3.1-8b", "q4_k_m", "1", "128", 20.87),
    # a blog, llama.cpp b8123 under Vulkan, 2026: Devstral-Small-2 (24B) after 7624 tokens
    ("ryzen-ai-max-395", "llama.cpp", "mistral-small-24b", "q4_k_m", "7624", "200", 14.0),
)


def _desks(folder: str) -> Iterator[Row]:
    for chip, software, model, precision, prompt, answer, speed in _DESKS:
        words = {"hardware": chip, "model": model, "batch": "1", "precision": precision}
        words |= {"input": prompt, "output": answer}
        words |= {"stack": "llama-cpp"} if software == "llama.cpp" else {}
        yield Row(chip, software, words, "per_user_tok_s", speed)


#: Published speeds a user whose load, and often chips, are not disclosed.
_PUBLISHED = (
    # Cerebras, Introducing Cerebras Inference, August 2024: 16 bit; 70B on four wafers
    ("wse-3", "cloud, 2024", "llama-3.1-8b", "cs-3", "1", "fp16", 1800.0),
    ("wse-3", "cloud, 2024", "llama-3.1-70b", "cs-3", "4", "fp16", 450.0),
    # SambaNova, Why SambaNova's SN40L Chip is The Best for Inference, September 2024: 16 sockets, 16 bit
    ("sn40l", "cloud, 2024", "llama-3.1-8b", "sn40l", "16", "bf16", 1042.0),
    ("sn40l", "cloud, 2024", "llama-3.1-70b", "sn40l", "16", "bf16", 457.0),
    ("sn40l", "cloud, 2024", "llama-3.1-405b", "sn40l", "16", "bf16", 129.0),
    # the same page on Groq, 8 bit; GroqRacks as the weights need
    ("groq-lpu", "cloud, 2024", "llama-3.1-8b", "groqrack", "64", "int8", 751.0),
    ("groq-lpu", "cloud, 2024", "llama-3.1-70b", "groqrack", "576", "int8", 250.0),
    # Groq's own demonstration, 2023
    ("groq-lpu", "cloud, 2024", "llama-2-70b", "groqrack", "576", "int8", 300.0),
)


def _published(folder: str) -> Iterator[Row]:
    for chip, software, model, hardware, chips, precision, speed in _PUBLISHED:
        words = {"hardware": hardware, "model": model, "chips": chips, "precision": precision, "batch": "1"}
        words |= {"input": "500", "output": "200"}
        words |= {"tp": chips} if chip == "sn40l" else {"pp": chips} if chip == "wse-3" else {}
        yield Row(chip, software, words, "per_user_tok_s", speed)


def _or(text: str, other: str) -> str:
    return text if text and float(text) > 0 else other


def _row(row: Mapping[str, str], chip: str, software: str, words: Mapping[str, str]) -> Row:
    own = {"model": model_of(row["model"])}
    for word in ("input", "output"):
        if word not in words:
            own[word] = f"{float(_or(row[f'{word}_tokens'], '1')):.0f}"
    return Row(chip, software, {**own, **words}, row["metric"], float(row["value"]))


SOURCES = (_neuron, _tpu, _gaudi, _sn40l, _apple, _llama_cpp, _mlc, _hailo, _tenstorrent, _published)
SOURCES += (_ai_hub, _desks)


# --- predictions ---


def predicted(row: Row) -> float | None:
    """The metric of a row; None where the question cannot be asked or does not fit."""
    try:
        answer = estimate(resolve(from_flags(row.words)).scenario)
    except GenzError:
        return None
    if not answer.fits:
        return None
    value = _METRICS[row.metric][1](answer.metrics)
    if value is None:
        return None
    return float(value) * (int(row.words["input"]) if row.metric == "prefill_tok_s" else 1)


def rows_of(folder: str) -> list[tuple[Row, float | None]]:
    """Every row with its prediction."""
    return [(row, predicted(row)) for source in SOURCES for row in source(folder)]


def groups_of(rows: list[tuple[Row, float | None]]) -> list[Group]:
    """Errors by chip, software and metric, in the order of the rows."""
    found: dict[tuple[str, str, str], list[tuple[Row, float | None]]] = {}
    for row, value in rows:
        found.setdefault((row.chip, row.software, row.metric), []).append((row, value))
    return [_group(key, members) for key, members in found.items()]


def _group(key: tuple[str, str, str], members: list[tuple[Row, float | None]]) -> Group:
    logs = [math.log(value / row.measured) for row, value in members if value is not None]
    models = {row.words["model"] for row, value in members if value is not None}
    profile = load(from_flags(members[0][0].words)).parts.profile.name
    bias = math.exp(sum(logs) / len(logs)) if logs else float("nan")
    error = math.exp(sum(map(abs, logs)) / len(logs)) if logs else float("nan")
    return Group(*key, len(logs), len(models), profile, bias, error, len(members) - len(logs))


def table(groups: list[Group]) -> str:
    """The table of the page."""
    lines = [
        "| chip | software | metric | rows | models | profile | predicted / measured | error, a factor |",
        "|---|---|---|---:|---:|---|---:|---:|",
    ]
    for one in groups:
        count = f"{one.rows}" + (f" of {one.rows + one.skipped}" if one.skipped else "")
        what = _METRICS[one.metric][0]
        lines.append(
            f"| {one.chip} | {one.software} | {what} | {count} | {one.models} | {one.profile} "
            f"| {one.bias:.2f} | {one.error:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Predicted and measured on platforms of every kind.")
    parser.add_argument("data", help="folder of the measurements")
    parser.add_argument("--rows", action="store_true", help="every row")
    parser.add_argument("--write", action="store_true", help="put the table into docs/studies/platforms.md")
    asked = parser.parse_args()
    rows = rows_of(asked.data)
    if asked.rows:
        for row, value in rows:
            shown = (
                "–" if value is None else f"{value:10.4g} / {row.measured:10.4g} = {value / row.measured:.2f}"
            )
            print(row.chip, row.software, row.metric, shown, dict(row.words), sep="  ")
        return
    text = table(groups_of(rows))
    if asked.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(_MARK)
        after = rest.partition(_MARK)[2]
        PAGE.write_text(f"{before}{_MARK}\n\n{text}\n\n{_MARK}{after}", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
