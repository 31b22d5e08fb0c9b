"""Rows of serving runs: what a row asks, as structure to group by and numbers to stack into arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from genzcli.errors import GenzError, shortened
from genzcli.explore.validate.kind import Row, Setting
from genzcli.spec.dtype import Precision, base

if TYPE_CHECKING:
    from genzcli.spec.hardware import Platform
    from genzcli.spec.model import Model

#: What a row may measure, in its own unit.
TARGETS = ("e2e_s", "ttft_ms", "tpot_ms", "output_tok_s")


class Key(NamedTuple):
    """What rows must have in common to be one array."""

    hardware: str
    stack: str
    model: str
    precision: str
    batching: str
    pp: int


class Asked(NamedTuple):
    """One row: its structure and its numbers."""

    key: Key
    input_tokens: float
    output_tokens: float
    batch: float
    tp: float
    dp: float
    ep: float
    flags: tuple[str, ...] = ()


class Nouns(NamedTuple):
    """What a key's names stand for."""

    model: Model
    platform: Platform
    precision: Precision


def asked(row: Row, nouns: Callable[[Key], Nouns]) -> Asked:
    """A row as a question; a GenzError says why it is none.

    `batch` and `concurrency` are the same number: what is in flight over the whole platform. A row with a
    concurrency is a server's unless it says otherwise.
    """
    batching = row.cells.get("batching", "") or ("continuous" if row.cells.get("concurrency") else "static")
    if batching not in ("static", "continuous"):
        raise GenzError(f"batching is {shortened(batching)}, neither static nor continuous")
    key = Key(
        row.text("hardware"),
        row.cells.get("stack", "") or "generic",
        row.text("model"),
        row.cells.get("precision", "") or "bf16",
        batching,
        row.count("pp", 1),
    )
    named = nouns(key)
    degrees, flags = _degrees(row, key, named)
    column = "batch" if row.cells.get("batch") else "concurrency"
    return Asked(
        key,
        row.count("input_tokens"),
        row.count("output_tokens"),
        row.count(column, 1),
        *degrees,
        flags,
    )


def _degrees(row: Row, key: Key, named: Nouns) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """(tp, dp, ep) of a row. Experts lie inside the chips of tp x attention_dp; where tp x pp x ep are the
    chips, attention is cut over tp x ep, as GenZ writes it."""
    dp, ep = row.count("attention_dp", 1), row.count("ep", 1)
    chips = row.count("chips", row.count("tp", 1) * key.pp * dp)
    tp = row.count("tp", max(chips // (key.pp * dp), 1))
    flags: tuple[str, ...] = ()
    if tp * key.pp * dp * ep == chips and ep > 1:
        tp *= ep
    inside = named.platform.levels[0].size if named.platform.levels else 1
    if ep > 1 and chips > inside and tp * key.pp * dp == chips:
        tp, dp, ep = _folded(tp, dp, ep)
        flags = (f"read as {tp * key.pp * dp:g} chips: a degree of {chips:g} chips is recorded times ep",)
        chips = tp * key.pp * dp
    if tp * key.pp * dp != chips:
        what = f"chips is {chips}, and tp {tp} x pp {key.pp} x attention_dp {dp} is {tp * key.pp * dp}"
        raise GenzError(what)
    return (tp, dp, ep if named.model.has_experts else 1), flags


def _folded(tp: int, dp: int, ep: int) -> tuple[int, int, int]:
    """Degrees that were recorded times ep: experts share the chips of attention."""
    if dp == 1 and tp % ep == 0:
        return tp // ep, dp, ep
    if tp == 1 and dp % ep == 0:
        return tp, dp // ep, ep
    return (tp, 1, ep // dp) if ep % dp == 0 else (tp, dp, ep)


#: The word of a row, and the formats in which a model's experts may be published under it.
_PUBLISHED = {"fp4": ("fp4", "mxfp4"), "mxfp4": ("fp4", "mxfp4"), "int4": ("int4",)}


def precision(word: str, model: Model, *, server: bool, fp8_cache: bool) -> Precision:
    """The formats that a row's one word stands for.

    A server of quantised weights keeps its cache in 8 bits (`fp8_cache` says whether it does so for fp8
    weights). Models published in a format of 4 bits keep what they publish in it.
    """
    own = model.precision
    if own is not None and base(own.experts) in _PUBLISHED.get(word, ()):
        return own.replace(kv="fp8" if server else own.kv, compute="fp4" if word != "int4" else own.compute)
    found = Precision.of("w4a16" if word == "int4" else word)
    if not server or word not in ("fp4", "int4", "fp8"):
        return found
    return found.replace(kv="fp8" if word != "fp8" or fp8_cache else "bf16")


def looked_up(setting: Setting) -> Callable[[Key], Nouns]:
    """Names to nouns, each looked up once."""
    known: dict[tuple[str, str, str, str], Nouns | GenzError] = {}

    def find(key: Key) -> Nouns:
        short = key.hardware, key.model, key.precision, key.batching + key.stack
        if short not in known:
            known[short] = _found(key, setting)
        found = known[short]
        if isinstance(found, GenzError):
            raise found
        return found

    return find


def _found(key: Key, setting: Setting) -> Nouns | GenzError:
    try:
        platform, _ = setting.library.hardware(key.hardware)
        model = setting.library.model(key.model)
        # vLLM leaves the cache of fp8 models in 16 bits on Hopper: the queues it publishes hold half as much.
        fp8_cache = not (key.stack == "vllm" and "fp4" not in platform.chip.peaks)
        formats = precision(key.precision, model, server=key.batching == "continuous", fp8_cache=fp8_cache)
    except GenzError as error:
        return error
    return Nouns(model, platform, formats)


def measured(row: Row, target: str) -> float | None:
    """The measured value of a target, where it is a plausible one."""
    try:
        return row.measured(target)
    except GenzError:
        return None
