"""Pages as GitHub markdown."""

from __future__ import annotations

from collections.abc import Sequence

from genzcli.report.page import Page, Table


def markdown(page: Page, quiet: bool = False) -> str:
    """The whole page, or its verdict."""
    status = f"**{page.status}** " if page.status else ""
    head = status + " — ".join(map(_escaped, page.headline))
    if quiet:
        return head
    parts = [head, *map(_escaped, page.lines), *map(_table, page.tables)]
    parts += [f"*{label}:* {_escaped(text)}" for label, text in page.notes]
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    title = f"### {table.title}\n\n" if table.title else ""
    marks = ("---:" if letter == "r" else "---" for letter in table.align)
    foot = f"\n\n{_escaped(table.foot)}" if table.foot else ""
    lines = (_row(table.columns), _row(tuple(marks)), *map(_row, map(_cells, table.rows)))
    return title + "\n".join(lines) + foot


def _cells(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_escaped, row))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    for sign in "\\|*_<>`":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
