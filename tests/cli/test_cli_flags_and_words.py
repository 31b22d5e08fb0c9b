"""Every long flag is a word of a scenario file: flags, words and what --save writes ask the same question."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genzcli.cli import run
from genzcli.cli.app import run as genz
from genzcli.cli.asking.request import LISTS, Request

#: How to answer, not what is asked.
OUTPUT = {"catalog", "save", "format", "json", "explain", "quiet", "exit_zero"}

MODELS = ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v3", "mamba-2.8b", "gemma-2-9b", "qwen2.5-vl-7b")
HARDWARE = ("h100-sxm", "hgx-h100", "8xh200", "tpu-v5e-16", "gb200-nvl72", "mi300x:8")
#: Values of each flag; of lists and switches whole ones.
VALUES: dict[str, tuple[Any, ...]] = {
    "usecase": ("chat", "single-user", "batch-offline"),
    "input": ("128", "4k", "1e3"),
    "output": ("1", "64", "1k"),
    "batch": ("1", "8", "64"),
    "concurrency": ("4", "64"),
    "chips": ("8", "16"),
    "tp": ("1", "2", "8"),
    "pp": ("1", "2"),
    "dp": ("1", "2"),
    "ep": ("1", "8"),
    "precision": ("fp8", "w4a16", "weights=int4,kv=fp8", "fp8,attention=bf16"),
    "stack": ("ideal", "generic", "vllm"),
    "slo": (("ttft=1s",), ("ttft=300ms", "tpot=20"), ("throughput=100",)),
    "set": (("memory.hbm.bandwidth=*2",), ("chip.power=500W", "model.vocab=64000")),
    "beams": ("2", "4"),
    "batching": ("static", "continuous"),
    "images": ("1", "3"),
    "image_tokens": ("256",),
    "image_size": ("640x480",),
    "prefix_hit": ("0.5", "0.25"),
    "sp": (True,),
    "uneven": ("pad", "error"),
    "overlap": ("0.5", "1"),
    "routing": ("balanced", "uniform", "power-law", "worst"),
    "alpha": ("0.8",),
    "redundant_experts": ("8", "32"),
    "imbalance": ("1.5",),
    "draft": ("ngram", "mtp", "llama-3.1-8b"),
    "draft_tokens": ("2",),
    "accept": ("0.6",),
    "expectation": ("genz",),
    "draft_hardware": ("l4",),
    "draft_chips": ("2",),
    "draft_latency": ("20 us",),
    "kv_keep": ("0.5",),
    "offload": ("host",),
    "placement": ("kv-first", "by-layer"),
    "place": (("kv=host",), ("weights=hbm:0.9,host:0.1", "kv=hbm")),
    "attention_on": ("host",),
    "reserve": ("0.2", "0"),
    "sparsity": ("2:4",),
    "weight_density": ("0.5",),
    "lora_rank": ("16",),
    "lora_adapters": ("8",),
    "lora_on": ("qv", "attention"),
    "chunk": ("512", "2048"),
    "flash": (True, False),
    "fused": (True, False),
    "price": ("2", "$3", "2.5 USD/h"),
}
_DRAFT, _OWN_CHIPS = {"draft": "ngram"}, {"draft": "llama-3.1-8b", "draft_hardware": "l4"}
#: Words that mean something only beside another.
BESIDE: dict[str, dict[str, str]] = {
    "dp": {"batch": "8"},
    "alpha": {"routing": "power-law"},
    "image_tokens": {"images": "1"},
    "image_size": {"images": "1"},
    "draft_tokens": _DRAFT,
    "accept": _DRAFT,
    "expectation": _DRAFT,
    "draft_hardware": {"draft": "llama-3.1-8b"},
    "draft_chips": _OWN_CHIPS,
    "draft_latency": _OWN_CHIPS,
    "lora_adapters": {"lora_rank": "8"},
    "lora_on": {"lora_rank": "8"},
}


def _called(*words: str) -> tuple[int, str]:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        code = genz(words)
    return int(code), out.getvalue()


def _flags(words: dict[str, Any]) -> list[str]:
    found = []
    for word, value in words.items():
        flag = word.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
            continue
        for text in value if word in LISTS else (value,):
            found += [f"--{flag}", text]
    return found


def _document(model: str, hardware: str, words: dict[str, Any]) -> str:
    """The same as a scenario file: tables of `slo:` and `place:`, a list of `set:`."""
    said: dict[str, Any] = {"model": model, "hardware": hardware, **words}
    for word in ("slo", "place"):
        if word in said:
            said[word] = dict(text.split("=", 1) for text in said[word])
    said |= {"set": list(said["set"])} if "set" in said else {}
    return yaml.safe_dump(said, sort_keys=False)


def _numbers(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer but for how it was asked for."""
    kept = ("scenario", "fits", "memory", "metrics", "phases", "slos", "verdict", "error")
    return {key: answer[key] for key in kept}


def _same(model: str, hardware: str, words: dict[str, Any]) -> bool:
    """Flags, file and saved file give one answer, or flags and file one refusal; whether one is given."""
    with TemporaryDirectory() as folder:
        file, saved = Path(folder) / "words.yaml", Path(folder) / "saved.yaml"
        file.write_text(_document(model, hardware, words))
        code, out = _called("run", model, hardware, *_flags(words), "--save", str(saved), "--json")
        other, text = _called("check", str(file), "--json")
        assert other == code
        if code == 2:
            return False
        asked = _numbers(json.loads(out))
        assert _numbers(json.loads(text)["results"][0]) == asked
        again = json.loads(_called("check", str(saved), "--json")[1])["results"][0]
        assert _numbers(again) == asked
    return True


def test_every_flag_is_a_word_and_has_values_here() -> None:
    flags = set(signature(run.command).parameters) - OUTPUT - {"model", "hardware"}
    assert flags == set(VALUES)
    assert flags == set(Request._fields) - {"model", "hardware", "name", "catalog", "places"}


@pytest.mark.parametrize("word", VALUES)
def test_each_word_alone(word: str) -> None:
    for value in VALUES[word]:
        words = {**BESIDE.get(word, {}), word: value}
        asked = (("qwen2.5-vl-7b", "h100-sxm"), ("mixtral-8x7b", "hgx-h100"), ("deepseek-v3", "16xh200"))
        assert any(_same(model, hardware, words) for model, hardware in asked), (word, value)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    model=st.sampled_from(MODELS),
    hardware=st.sampled_from(HARDWARE),
    names=st.lists(st.sampled_from(sorted(VALUES)), min_size=2, max_size=6, unique=True),
    data=st.data(),
)
def test_words_together(model: str, hardware: str, names: list[str], data: st.DataObject) -> None:
    words: dict[str, Any] = {}
    for name in names:
        words |= {**BESIDE.get(name, {}), name: data.draw(st.sampled_from(VALUES[name]))}
    _same(model, hardware, words)
