"""A question in words: what the flags of `run` and the keys of a scenario file both say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from genzcli.spec.dtype import Precision
from genzcli.spec.noun import Field, count, quantity, ratio

#: Kinds of tensor that `--precision` and `precision:` name, compute among them.
TENSORS = tuple(name for name in Precision.fields if name != "explicit_compute")


class Text(NamedTuple):
    """Something the user wrote, and where: `--set`, or a line of a file."""

    text: str
    where: str


class Request(NamedTuple):
    """The words of one scenario, unread. The names are those of the long flags."""

    model: str
    hardware: str
    name: str = ""
    usecase: str | None = None
    input: str | None = None
    output: str | None = None
    images: str | None = None
    image_tokens: str | None = None
    image_size: str | None = None
    batch: str | None = None
    beams: str | None = None
    chips: str | None = None
    tp: str | None = None
    pp: str | None = None
    dp: str | None = None
    ep: str | None = None
    sp: str | None = None
    precision: str | None = None
    stack: str | None = None
    batching: str | None = None
    concurrency: str | None = None
    routing: str | None = None
    imbalance: str | None = None
    alpha: str | None = None
    redundant_experts: str | None = None
    uneven: str | None = None
    flash: str | None = None
    fused: str | None = None
    overlap: str | None = None
    chunk: str | None = None
    draft: str | None = None
    draft_hardware: str | None = None
    draft_chips: str | None = None
    draft_latency: str | None = None
    draft_tokens: str | None = None
    accept: str | None = None
    expectation: str | None = None
    prefix_hit: str | None = None
    kv_keep: str | None = None
    weight_density: str | None = None
    offload: str | None = None
    placement: str | None = None
    attention_on: str | None = None
    sparsity: str | None = None
    lora_rank: str | None = None
    lora_adapters: str | None = None
    lora_on: str | None = None
    reserve: str | None = None
    price: str | None = None
    slo: tuple[Text, ...] = ()
    set: tuple[Text, ...] = ()
    place: tuple[Text, ...] = ()
    catalog: tuple[str, ...] = ()
    places: Mapping[str, str] = {}

    def where(self, word: str) -> str:
        """The place of a word: a line of a file, or the flag."""
        flag = word.upper() if word in ("model", "hardware") else f"--{word.replace('_', '-')}"
        return self.places.get(word, flag)


#: Words that are switches on the command line, and those that may be given several times.
_SWITCHES = ("flash", "fused")
LISTS = ("slo", "set", "place")


def from_flags(words: Mapping[str, Any]) -> Request:
    """What a command's parameters ask for."""
    fields = {key: value for key, value in words.items() if key in Request._fields}
    for key in _SWITCHES:
        fields[key] = {True: "true", False: "false", None: None}[words.get(key)]
    fields["sp"] = "true" if words.get("sp") else None
    for key in LISTS:
        fields[key] = tuple(Text(text, f"--{key}") for text in words.get(key) or ())
    fields["catalog"] = tuple(words.get("catalog") or ())
    return Request(**fields)


def _named(word: str, item: Field) -> Field:
    item.named(word)
    return item


# Upper bounds are far beyond any machine: they turn a slip of the keyboard into an error at once.
_MOST_TOKENS, _MOST_REQUESTS, _MOST_CHIPS, _MOST_BEAMS = 1e8, 1e7, 1e5, 1e4

#: A share of a kind of tensor, in `--place`.
SHARE = _named("share", ratio("the share that lies in a memory", least=0, most=1))

#: The words that are numbers, with what they may be.
NUMBERS: Mapping[str, Field] = {
    word: _named(word, item)
    for word, item in {
        "input": count("prompt tokens of a request", most=_MOST_TOKENS),
        "images": count("images of a request", least=0, most=1e6),
        "image_tokens": count("the tokens an image becomes", most=1e6),
        "output": count("generated tokens of a request", most=_MOST_TOKENS),
        "batch": count("requests served together", most=_MOST_REQUESTS),
        "concurrency": count("requests in flight over the platform", most=_MOST_REQUESTS),
        "beams": count("the beam width", most=_MOST_BEAMS),
        "chips": count("chips in all", most=_MOST_CHIPS),
        "tp": count("the tensor-parallel degree", most=_MOST_CHIPS),
        "pp": count("the number of pipeline stages", most=_MOST_CHIPS),
        "dp": count("the data-parallel degree", most=_MOST_CHIPS),
        "ep": count("the expert-parallel degree", most=_MOST_CHIPS),
        "imbalance": ratio("the busiest expert rank over the mean", least=1, most=1e4),
        "alpha": ratio("the exponent of power-law routing", least=0, most=10),
        "redundant_experts": count("the replicas of the busiest experts", least=0, most=1e5),
        "lora_rank": count("the rank of the adapters", least=0, most=1e4),
        "lora_adapters": count("the adapters that are resident", most=1e6),
        "overlap": ratio("the share of a collective that compute may hide", least=0, most=1),
        "chunk": count("the tokens of a pass", most=_MOST_TOKENS),
        "draft_chips": count("chips of the draft model", most=_MOST_CHIPS),
        "draft_latency": quantity("s", "the way between the draft's chips and the others", least=0, most=10),
        "draft_tokens": count("the tokens drafted ahead of a verification", most=1e4),
        "accept": ratio("the chance that a drafted token is accepted", least=0, most=1),
        "prefix_hit": ratio("the share of the prompt found in a prefix cache", least=0, most=1),
        "kv_keep": ratio("the share of the cache's tokens kept", above=0, most=1),
        "weight_density": ratio("the share of the weights kept", above=0, most=1),
        "reserve": ratio("the share of memory kept free", least=0, most=0.95),
        "price": quantity("USD/h", "the rent of one chip", least=0, most=1e6),
    }.items()
}


def hourly(text: str) -> str:
    """A rent as a quantity: a bare number is dollars an hour, and so is $2."""
    if not (text.isascii() and text[-1:].isdigit()):
        return text
    return f"{text}/h" if text.lstrip().startswith("$") else f"{text} USD/h"


#: A side of an image.
PIXELS = _named("image_size", count("the pixels of a side", most=1e5))
