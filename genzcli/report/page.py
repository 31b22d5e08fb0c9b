"""What a reader sees, before it is drawn: words in tables. Knows no terminal and no markup."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """A table of words. `align` has one letter a column: l or r."""

    title: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    foot: str = ""  # what stands right under it
    strong: tuple[int, ...] = ()  # rows that lead the others
    spare: tuple[int, ...] = ()  # columns that go where the page is too narrow, the first one first
    lead: int = 0  # columns that every part has, where the page is too narrow for one table; 0: never parted

    def without(self, left_out: frozenset[int]) -> Table:
        """The table less some columns."""
        kept = [index for index in range(len(self.columns)) if index not in left_out]
        return self._replace(
            columns=tuple(self.columns[index] for index in kept),
            align="".join(self.align[index] for index in kept),
            rows=tuple(tuple(row[index] for index in kept) for row in self.rows),
            spare=(),
        )


class Page(NamedTuple):
    """The verdict, what was asked, the tables, and what stands under them."""

    status: str  # PASS, FAIL, DOES NOT FIT, FITS, or empty
    headline: tuple[str, ...]  # pieces, the status not among them
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()  # (label, text)
