"""Checked scenarios as a JUnit report, which CI systems list as tests.

One `testsuite` a file, one `testcase` a scenario: a `failure` where an objective is missed or it does not
fit, an `error` for bad input. No times: a report of the same scenarios is the same bytes. ASCII with
references, so that it is valid whatever a shell makes of the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from genzcli.report.headline import headline
from genzcli.report.pages import Outcome, reason

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


class Suite(NamedTuple):
    """A file and its scenarios."""

    file: str
    outcomes: Sequence[Outcome]


_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


def junit(suites: Iterable[Suite]) -> str:
    """The report as XML with a declaration, indented."""
    from xml.etree.ElementTree import Element, indent, tostring

    root = Element("testsuites", name="genz check")
    for suite in suites:
        found = Element("testsuite", name=_legal(suite.file))
        found.extend(_case(suite.file, outcome) for outcome in suite.outcomes)
        root.append(_counted(found))
    indent(_counted(root))
    text = tostring(root, encoding="us-ascii").decode("ascii")
    return f"{_DECLARATION}\n{text}\n"


def _case(file: str, outcome: Outcome) -> Element:
    from xml.etree.ElementTree import Element, SubElement

    case = Element("testcase", classname=_legal(file), name=_legal(outcome.name))
    why = _legal(reason(outcome))
    if outcome.answer is None:
        SubElement(case, "error", type="bad input", message=why).text = why
        return case
    head = headline(outcome.answer)
    if why:
        kind = "objective" if outcome.answer.estimate.fits else "memory"
        message = why if outcome.answer.estimate.fits else f"does not fit: {why}"
        SubElement(case, "failure", type=kind, message=message).text = _legal(_told(outcome))
    SubElement(case, "system-out").text = _legal(
        "\n".join((f"{head.status}  {head.pieces[0]}", *head.pieces[1:]))
    )
    return case


def _told(outcome: Outcome) -> str:
    """Why, and what would help, a line each."""
    assert outcome.answer is not None
    cures = [f"{cure.change}: {cure.effect}" for cure in outcome.answer.cures]
    return "\n".join((reason(outcome), *(("What would help", *cures) if cures else ())))


def _counted(element: Element) -> Element:
    """With the counts that readers of the format rely on."""
    for key, path in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        element.set(key, str(sum(1 for _ in element.iter(path))))
    element.set("skipped", "0")
    return element


def _legal(text: str) -> str:
    """The text without what XML 1.0 cannot hold: control characters, lone surrogates, U+FFFE and U+FFFF."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _refused(sign) else sign for sign in text)


def _refused(sign: str) -> bool:
    point = ord(sign)
    control = point < 0x20 and sign not in "\t\n"
    return control or 0xD800 <= point <= 0xDFFF or point in (0xFFFE, 0xFFFF)
