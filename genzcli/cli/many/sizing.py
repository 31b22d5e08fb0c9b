"""The words of `genz size` as searches, and what they found as documents and pages."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from genzcli.cli.asking.request import Request, from_flags
from genzcli.cli.asking.resolve import Loaded, load, resolve
from genzcli.cli.asking.synonyms import refuse_synonyms
from genzcli.cli.many.sweeping import column_of
from genzcli.errors import GenzError, PlanError, nearest
from genzcli.explore import largest, needs, size
from genzcli.report import sizes as report
from genzcli.report.page import Page
from genzcli.spec.workload import Scenario

_WORDS = {"batch": "plan", "concurrency": "plan", "input": "usecase", "output": "usecase"}
_FIELDS = {"batch": "batch", "concurrency": "batch", "input": "input_tokens", "output": "output_tokens"}
_MANY = 3  # platforms beyond which a search says where it is
_MOST = {"batch": 10**6, "concurrency": 10**6, "input": 10**7, "output": 10**7}


class Found(NamedTuple):
    """What was found, for machines and for people."""

    document: dict[str, Any]
    page: Page


def written(found: Found, kind: str, quiet: bool) -> str:
    """In the format asked for."""
    if kind == "json":
        from genzcli.report.json import dumps

        return dumps(found.document)
    if kind == "csv":
        from genzcli.report.csv import table

        return table(found.document["results"])
    page = found.page._replace(notes=()) if quiet else found.page
    if kind == "markdown":
        from genzcli.report.markdown import markdown

        return markdown(page, False)
    from genzcli.report.table import render

    return render(page)


# --- how few ---


def smallest_platforms(model: str, hardware: list[str], by: str, most: int, words: dict[str, Any]) -> Found:
    """The smallest size of every platform, the best first."""
    if by not in size.AIMS:
        near = nearest(by, size.AIMS, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise PlanError(
            f"unknown aim {by!r}", where="--by", cure=f"{meant}choose from {', '.join(size.AIMS)}"
        )
    if words.get("chips"):
        raise PlanError(
            "the number of chips is what is asked for", where="--chips", cure="use --most, or leave it out"
        )
    everything = not hardware
    _once(hardware, words)
    asked = [_request(model, name, words) for name in hardware or _shipping(model, words)]
    found, first = [], None
    for done, request in enumerate(asked):
        _told(done, len(asked), request.hardware)
        try:
            loaded = load(request)
        except GenzError as error:
            if not everything:
                raise
            found.append(report.Sized(request.hardware, size.Search(None, (), 0, str(error))))
            continue
        if loaded.request.chips is not None:
            cure = f"name {loaded.request.hardware}, and use --most for a limit"
            raise PlanError("the number of chips is what is asked for", where=request.hardware, cure=cure)
        limit = most if loaded.parts.platform.scale_out is not None else _own(loaded, most)
        first = first or loaded
        try:
            search = size.smallest(loaded.scenario, loaded.given, by, limit)
        except PlanError as error:  # one that cannot serve never ends the search
            search = size.Search(None, (), 0, str(error))
        found.append(report.Sized(loaded.label, search))
    _told(len(asked), len(asked), "")
    if first is None:
        raise PlanError(
            f"no platform can be asked: {found[0].search.why}", where="MODEL", cure="name the hardware"
        )
    ranked = sorted(found, key=lambda item: report.rank(item, by))
    return Found(
        report.sized_document(ranked, by),
        report.sized_page(ranked, by, first.scenario.usecase, _subject(first.scenario)),
    )


def _told(done: int, total: int, name: str) -> None:
    """How far a search over many platforms is, on a terminal's stderr."""
    if total > _MANY and sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} machines {name:<32}", end=end, file=sys.stderr, flush=True)


def _own(loaded: Loaded, most: int) -> int:
    return min(most, int(loaded.parts.platform.chips))


def _request(model: str, hardware: str, words: dict[str, Any]) -> Request:
    return from_flags({**words, "model": model, "hardware": hardware})


def _subject(scenario: Scenario) -> str:
    """Model, load and format of the question."""
    plan, usecase = scenario.plan, scenario.usecase
    load_word = "batch" if plan.batching == "static" else "concurrency"
    tokens = f"{usecase.input_tokens:g} + {usecase.output_tokens:g} tokens"
    return f"{scenario.model.name} · {tokens} · {load_word} {plan.batch:g} · weights {plan.precision.weights}"


def _shipping(model: str, words: dict[str, Any]) -> Iterator[str]:
    """Every chip that can be bought, in its home platform."""
    from genzcli.catalog.load import Catalog

    catalog = Catalog(words.get("catalog") or ())
    for name in catalog.names("chips"):
        if catalog.chip(name).status == "shipping":
            yield name


# --- how large ---


def largest_load(model: str, hardware: list[str], word: str, words: dict[str, Any]) -> Found:
    """The largest value of a word on each platform."""
    if word not in _WORDS:
        near = nearest(word, _WORDS, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        cure = f"{meant}choose from {', '.join(_WORDS)}"
        raise PlanError(f"{word!r} is not searched for", where="--largest", cure=cure)
    _refuse_given(word, words)
    found = []
    for name in _named(hardware, words):
        given = {**words, word: "1"} if word == "concurrency" else words
        loaded = load(_request(model, name, given))
        found.append(report.Loaded(loaded.label, loaded.scenario, _largest(loaded, word)))
    return Found(report.largest_document(found, word), report.largest_page(found, word))


def _refuse_given(word: str, words: dict[str, Any]) -> None:
    """What is searched for cannot be given too, by any of its names."""
    field = (_WORDS[word], _FIELDS[word])
    for name in _WORDS:
        if words.get(name) and (_WORDS[name], _FIELDS[name]) == field:
            cure = (
                "leave it out; --largest concurrency asks it of a server" if name != word else "leave it out"
            )
            raise PlanError(f"the largest {word} is what is asked for", where=f"--{name}", cure=cure)
    for text in words.get("set") or ():
        if column_of(text.partition("=")[0].strip()) == column_of(word):
            raise PlanError(
                f"the largest {word} is what is asked for", where=f"--set {text}", cure="leave it out"
            )


def _largest(loaded: Loaded, word: str) -> largest.Largest:
    def put(scenario: Any, value: Any) -> Any:
        owner = getattr(scenario, _WORDS[word])
        return scenario.replace(**{_WORDS[word]: owner.replace(**{_FIELDS[word]: value})})

    return largest.largest(loaded.scenario, put, _MOST[word], loaded.chips, loaded.fixed)


def _named(hardware: Sequence[str], words: dict[str, Any]) -> Sequence[str]:
    if not hardware:
        raise PlanError(
            "no hardware is named", where="HARDWARE", cure="name a chip or a platform, or several"
        )
    _once(hardware, words)
    return hardware


def _once(hardware: Sequence[str], words: dict[str, Any]) -> None:
    cure = "name each chip or platform once"
    refuse_synonyms("hardware", hardware, words.get("catalog") or (), "HARDWARE", cure)


# --- how much of what ---


def needed(model: str, hardware: list[str], words: dict[str, Any]) -> Found:
    """What each platform would need."""
    found = []
    for name in _named(hardware, words):
        resolved = resolve(_request(model, name, words))
        if not resolved.scenario.usecase.slo:
            cure = "give --slo ttft=200ms, or a use case that has some"
            raise PlanError("there are no objectives to meet", where="--needs", cure=cure)
        _refuse_unanswerable(resolved.scenario)
        found.append(report.Needed(resolved.label, resolved.scenario, needs.requirements(resolved.scenario)))
    return Found(report.needs_document(found), report.needs_page(found))


def _refuse_unanswerable(scenario: Scenario) -> None:
    """Objectives that nothing can miss, or that nothing can be held against."""
    usecase = scenario.usecase
    idle = report.vacuous(usecase)
    if idle and all(item.metric in ("tpot", "user_throughput") for item in usecase.slo):
        cure = "give an objective of the first token, as --slo ttft=200ms, or more output tokens"
        raise PlanError(f"no platform can miss {idle}", where="--needs", cure=cure)
    said = size.unknown(scenario, [item.metric for item in usecase.slo])
    if said:
        message, _, cure = said.partition("; ")
        raise PlanError(message, where="--slo", cure=cure)
