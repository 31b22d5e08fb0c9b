"""Pages on a terminal, or through a pipe with the same words. The only room that imports rich."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from genzcli.report.page import Page, Table

_STYLES = {"PASS": "bold green", "FITS": "bold green"} | dict.fromkeys(
    ("FAIL", "ERROR", "DOES NOT FIT"), "bold red"
)
_LEAST_WIDTH = 40
_GAP = 2  # between columns
_NARROW = 8  # a text column, where there is no room for its longest word


def render(page: Page, quiet: bool = False) -> str:
    """The page as text for stdout as it is: its width, its colours."""
    import io

    from rich.console import Console

    out = io.StringIO()
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    console = Console(
        file=out,
        width=max(width(), _LEAST_WIDTH),
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    _headline(console, page)
    if not quiet:
        _body(console, page)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def width() -> int:
    """Columns: as COLUMNS says, else the terminal's, else 80."""
    import shutil

    return shutil.get_terminal_size((80, 24)).columns if _sized() else 80


def _sized() -> bool:
    return os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty()


def _headline(console: Any, page: Page) -> None:
    """The verdict and its pieces, on one line where they fit, else one under the other."""
    from rich.text import Text

    first = f"{page.status}  {page.headline[0]}" if page.status else page.headline[0]
    whole = "   ".join((first, *page.headline[1:]))
    stacked = [first, *(f"  {piece}" for piece in page.headline[1:])]
    lines = [whole] if len(whole) <= console.width else stacked
    text = Text("\n".join(lines), overflow="fold")
    text.stylize(_STYLES.get(page.status, "bold"), 0, len(page.status or first))
    console.print(text)


def _body(console: Any, page: Page) -> None:
    from rich.text import Text

    for line in page.lines:
        console.print(Text(line, overflow="fold"))
    for table in page.tables:
        console.print()
        if table.title:
            console.print(Text(table.title, style="bold", overflow="fold"))
        fitted, left_out = _fitted(table, console.width)
        for position, part in enumerate(_parts(fitted, console.width)):
            if position:
                console.print()
            console.print(_drawn(part, console.width))
        if table.foot:
            console.print(Text(table.foot, overflow="fold"))
        if left_out:
            said = f"No room for {', '.join(left_out)}; a wider terminal or --columns shows them"
            console.print(Text(said, overflow="fold"))
    for position, (label, words) in enumerate(page.notes):
        if position == 0:
            console.print()
        text = Text(f"{label}: {words}", overflow="fold")
        text.stylize("bold", 0, len(label) + 1)
        console.print(text)


def _drawn(table: Table, room: int) -> Any:
    from rich.box import Box
    from rich.table import Table as Drawn

    rule = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")
    gap = _gap(table, room)
    drawn = Drawn(box=rule, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="")
    widths = _widths(table, room, gap)
    for column, letter, wide in zip(table.columns, table.align, widths, strict=True):
        head = _broken(column, wide)
        drawn.add_column(head, justify="right" if letter == "r" else "left", overflow="fold", width=wide)
    for position, row in enumerate(table.rows):
        cells = [_broken(cell, wide) for cell, wide in zip(row, widths, strict=True)]
        drawn.add_row(*cells, style="bold" if position in table.strong else None)
    return drawn


def _gap(table: Table, room: int) -> int:
    """Between columns: one less where that leaves every cell on its line."""
    natural = sum(max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True))
    between = len(table.columns) - 1
    return _GAP - 1 if natural + between * (_GAP - 1) <= room < natural + between * _GAP else _GAP


def _pieces(word: str) -> list[str]:
    """What a long word may be broken into: behind its hyphens, dots and underscores."""
    return re.findall(r"[^-._]*[-._]+|[^-._]+", word) or [word]


def _broken(cell: str, wide: int) -> str:
    """The cell with the words that are wider than the column broken between pieces."""
    words = []
    for word in cell.split(" "):
        if len(word) > wide and max(map(len, _pieces(word))) <= wide:
            lines = [""]
            for piece in _pieces(word):
                if len(lines[-1] + piece) <= wide:
                    lines[-1] += piece
                else:
                    lines.append(piece)
            word = "\n".join(lines)
        words.append(word)
    return " ".join(words)


def _parts(table: Table, room: int) -> list[Table]:
    """The table, or several with the same first columns where it would break words otherwise."""
    least, lead = _whole_pieces(table), table.lead
    if not lead or sum(least) + _GAP * (len(least) - 1) <= room:
        return [table]
    left = room - sum(least[:lead]) - _GAP * lead
    most = max(1, (left + _GAP) // (max(least[lead:]) + _GAP))
    count = -(-(len(least) - lead) // most)
    each = -(-(len(least) - lead) // count)  # as many in every part as can be
    parts = [range(start, min(start + each, len(least))) for start in range(lead, len(least), each)]
    others = [frozenset(range(lead, len(least))) - frozenset(part) for part in parts]
    return [table.without(left_out) for left_out in others]


def _whole_pieces(table: Table) -> list[int]:
    """Widths with heads and all cells on lines of a word or a piece of one each."""
    columns = zip(table.columns, *table.rows, strict=True)
    return [
        max((len(piece) for cell in column for word in cell.split() for piece in _pieces(word)), default=1)
        for column in columns
    ]


def _fitted(table: Table, room: int) -> tuple[Table, tuple[str, ...]]:
    """The table without the spare columns that would have words and numbers broken, and their heads."""
    left_out: set[int] = set()
    for index in table.spare:
        fitted = table.without(frozenset(left_out))
        if sum(_unbroken(fitted)) + _GAP * (len(fitted.columns) - 1) <= room:
            break
        left_out.add(index)
    return table.without(frozenset(left_out)), tuple(table.columns[index] for index in sorted(left_out))


def _unbroken(table: Table) -> list[int]:
    """Widths with heads and texts on lines of a word each, and numbers whole."""
    found = []
    for letter, head, *cells in zip(table.align, table.columns, *table.rows, strict=True):
        words = [word for cell in cells for word in cell.split()] if letter == "l" else cells
        found.append(max(map(len, (*head.split(), *words)), default=1))
    return found


def _widths(table: Table, room: int, gap: int) -> list[int]:
    """Column widths that fill no more than `room`: heads and texts give way by whole words, then by pieces of
    words, then texts, then everything; nothing is cut."""
    cells = list(zip(table.columns, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in cells]
    words = _unbroken(table)
    texts = [index for index, letter in enumerate(table.align) if letter == "l" and index > 0]
    room -= gap * (len(widths) - 1)
    pieces = _whole_pieces(table)
    everything, narrow, none = list(range(len(widths))), [_NARROW] * len(widths), [1] * len(widths)
    ways = (
        (texts, words),
        (everything[1:], words),
        (everything, pieces),
        (texts, narrow),
        (everything, none),
    )
    for columns, least in ways:
        while sum(widths) > room:
            widest = max(columns, key=lambda index: widths[index] - least[index], default=None)
            if widest is None or widths[widest] <= least[widest]:
                break
            widths[widest] -= 1
    return widths
