"""Bad input: one line with the place and the cure on stderr, nothing on stdout, exit code 2."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Genz = Callable[..., Any]
RUN = ("run", "llama-3.1-8b", "h100-sxm")

#: Words, and what the one line must say.
LINES = [
    (("run", "lama-3.1-8b", "h100-sxm"), ("MODEL", "lama-3.1-8b", "llama-3.1-8b")),
    (("run", "llama-3.1-8b", "h100-smx"), ("HARDWARE", "h100-sxm")),
    ((*RUN, "-u", "chta"), ("--usecase", "chat")),
    ((*RUN, "--stack", "vlm"), ("--stack", "vlm")),
    ((*RUN, "--precision", "fp7"), ("--precision", "fp8")),
    ((*RUN, "--precision", "wieghts=fp8"), ("--precision", "weights")),
    ((*RUN, "--precision", "kv=fp8,kv=bf16"), ("--precision", "twice")),
    (
        ("run", "llama-3.1-8b", "a100-sxm-80gb", "--precision", "compute=fp8"),
        ("--precision", "a100-sxm-80gb", "bf16"),
    ),
    ((*RUN, "--tp", "3"), ("--tp", "32 heads", "1, 2, 4, 8, 16, 32")),
    ((*RUN, "--ep", "2", "-n", "2"), ("--ep", "no experts")),
    ((*RUN, "-n", "8", "--tp", "2", "--pp", "2", "--dp", "3"), ("--chips", "12")),
    ((*RUN, "--dp", "2"), ("--dp", "batch 1")),
    ((*RUN, "--concurrency", "4", "--batching", "static"), ("--concurrency", "static")),
    ((*RUN, "--concurrency", "4", "-b", "5"), ("--concurrency", "differ")),
    ((*RUN, "--batching", "dynamic"), ("--batching", "static, continuous")),
    ((*RUN, "--routing", "even"), ("--routing", "balanced")),
    ((*RUN, "--slo", "ttft"), ("--slo", "ttft=200ms")),
    ((*RUN, "--slo", "tttf=3ms"), ("--slo", "ttft")),
    ((*RUN, "--slo", "ttft=3MB"), ("--slo", "3MB")),
    ((*RUN, "--slo", "ttft>3ms"), ("--slo", "upper")),
    ((*RUN, "--images", "2"), ("--images", "no vision tower")),
    (("run", "qwen3-vl-2b", "h100-sxm", "--images", "-1"), ("--images", "at least 0")),
    (("run", "qwen3-vl-2b", "h100-sxm", "--image-tokens", "0"), ("--image-tokens", "at least 1")),
    ((*RUN, "--image-size", "640x480"), ("--image-size", "no vision tower")),
    (("run", "qwen3-vl-2b", "h100-sxm", "--image-size", "640"), ("--image-size", "1920x1080")),
    (("run", "qwen3-vl-2b", "h100-sxm", "--image-size", "0x4"), ("--image-size", "at least 1")),
    (("run", "gemma-3-4b", "h100-sxm", "--image-size", "640x480"), ("--image-size", "one size")),
    (("run", "t5-11b", "h100-sxm", "--chunk", "256"), ("--chunk", "one pass")),
    (("run", "t5-11b", "h100-sxm", "--prefix-hit", "0.5"), ("--prefix-hit", "encoder")),
    (("run", "t5-11b", "h100-sxm", "--tp", "3"), ("--tp", "legal values")),
    ((*RUN, "--slo", "ttft=0"), ("--slo", "above 0")),
    ((*RUN, "--slo", "p99(ttft)<500ms"), ("--slo", "percentile")),
    ((*RUN, "--set", "memory.hbm.bandwidth"), ("--set", "no value")),
    ((*RUN, "--set", "memory.hbn.bandwidth=*2"), ("--set", "hbm")),
    ((*RUN, "--set", "memory.hbm.bandwidth=4TB"), ("--set", "TB/s")),
    ((*RUN, "--set", "power=-5 W"), ("--set", "above")),
    ((*RUN, "--format", "yaml"), ("--format", "table")),
    ((*RUN, "--format", "csv", "--json"), ("--format", "--json")),
    ((*RUN, "--catalog", "nowhere"), ("--catalog", "nowhere")),
    ((*RUN, "--save", "no/such/folder/x.yaml"), ("--save", "folder")),
    ((*RUN, "--no-such-flag"), ("genz run", "--no-such-flag")),
    ((*RUN, "--tp"), ("--tp", "argument")),
    (("run", "llama-3.1-8b"), ("HARDWARE", "genz run --help")),
    (("rum",), ("rum", "run")),
    (("list", "modles", "x"), ("modles", "models")),
    (("list", "models", "no-such-model"), ("no-such-model",)),
    (("show", "h100-smx"), ("h100-smx", "h100-sxm")),
    (("check", "-", "-"), ("stdin", "twice")),
]


@pytest.mark.parametrize(("words", "said"), LINES, ids=lambda value: " ".join(value))
def test_one_line_with_the_place_and_the_cure(
    genz: Genz, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    ended = genz(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("genz: error: ") and ended.err.count("\n") == 1
    for word in said:
        assert word in ended.err


@pytest.mark.parametrize(
    "flag", ["-i", "-o", "-b", "-n", "--beams", "--tp", "--pp", "--dp", "--ep", "--concurrency"]
)
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e30", "1e999", "1.5", "", "many", "1,000"])
def test_counts_are_whole_positive_and_sane(genz: Genz, flag: str, value: str) -> None:
    ended = genz(*RUN, flag, value)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("genz: error: --") and ended.err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--overlap", "--reserve", "--imbalance", "--price"])
@pytest.mark.parametrize("value", ["-1", "nan", "1e30", "much", ""])
def test_ratios_are_within_bounds(genz: Genz, flag: str, value: str) -> None:
    ended = genz(*RUN, flag, value)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"genz: error: {flag}: ") and ended.err.count("\n") == 1


MODEL = """\
name: m
source: {paper: x}
d_model: 64
vocab: 100
layers: 2
attention: {heads: 4, kv_heads: 4, head_dim: 16}
"""
FILES = {
    "empty": b"",
    "binary": bytes(range(256)),
    "not UTF-8": b"name: \xff\xfe\n",
    "a bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nname: [*b, *b]\n",
    "deep": b"[" * 10_000,
    "duplicate keys": MODEL.encode() + b"vocab: 3\nmlp: {d_ff: 10}\n",
    "unknown key": MODEL.encode() + b"mpl: {d_ff: 10}\n",
    "no source": b"name: m\nd_model: 64\nvocab: 1\nlayers: 1\n",
    "wrong type": b"- 1\n- 2\n",
    "absurd": MODEL.replace("64", "1e40").encode() + b"mlp: {d_ff: 10}\n",
    "NaN": MODEL.replace("64", ".nan").encode() + b"mlp: {d_ff: 10}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(genz: Genz, tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(FILES[name])
    for words in (("run", str(path), "h100-sxm"), ("check", str(path)), ("show", str(path))):
        ended = genz(*words)
        assert (ended.code, ended.out) == (2, ""), words
        assert ended.err.startswith("genz: error: ") and ended.err.count("\n") == 1
        assert "m.yaml" in ended.err


def test_a_directory_and_what_cannot_be_read(genz: Genz, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    ended = genz("run", "folder.yaml", "h100-sxm")
    assert (ended.code, ended.out) == (2, "") and "directory" in ended.err
    closed = tmp_path / "closed.yaml"
    closed.write_text("name: x")
    closed.chmod(0)
    if not os.access(closed, os.R_OK):  # the superuser reads everything
        ended = genz("run", "closed.yaml", "h100-sxm")
        assert (ended.code, ended.out) == (2, "") and "closed.yaml" in ended.err


def test_a_defect_is_shown_and_is_no_verdict(genz: Genz, monkeypatch: pytest.MonkeyPatch) -> None:
    import genzcli.cli.asking.evaluate as room

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(room, "estimate", broken)
    ended = genz(*RUN)
    assert ended.code == 70 and "ZeroDivisionError: a defect" in ended.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--place kv=host:0.5,host:0.5", "--place: host is given twice for kv"),
        ("--place foo", "--place: 'foo' places nothing"),
        ("--precision kv=w4a16", "write w4a16 alone, or weights=int4,compute=bf16"),
        ("--offload=", "--offload: names no memory"),
        ("--offload ,", "--offload: names no memory"),
        ("--offload host,host", "--offload: host is given twice"),
        ("--sparsity ٢:٤", "--sparsity: '٢:٤' is not a pattern"),
        ("--chunk 3 --beams 4 --concurrency 2", "--chunk: a pass of 3 tokens has no room for the 4"),
    ],
)
def test_words_that_mean_nothing(genz: Genz, words: str, says: str) -> None:
    ended = genz(*RUN, *words.split())
    assert (ended.code, ended.out) == (2, "") and says in ended.err


def test_dollars_are_by_the_hour(genz: Genz) -> None:
    found = {
        genz(*RUN, "--price", price, "--json").out.split('"metrics"')[1] for price in ("1", "$1", "$1/h")
    }
    assert len(found) == 1
