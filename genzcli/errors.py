"""The errors a user may see. Ground floor: imports nothing.

Every message names the place and the cure: `where` is a file and line, an option, or the path
of a key; `cure` is one sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class GenzError(Exception):
    """Bad input: shown as one line, exit code 2, never as a traceback.

    Args:
        message: what is wrong, one sentence without a full stop.
        where: the place, as `file.yaml:12`, `--tp`, or `chip.memory.hbm.bandwidth`.
        cure: what to do about it.
    """

    def __init__(self, message: str, *, where: str = "", cure: str = "") -> None:
        self.message = message
        self.where = where
        self.cure = cure
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{place}{self.message}{cure}"

    def at(self, where: str) -> GenzError:
        """The same error with an outer place put in front of its own."""
        joined = f"{where}: {self.where}" if self.where else where
        return type(self)(self.message, where=joined, cure=self.cure)


class UnitError(GenzError):
    """A quantity that does not parse, or has the wrong unit or range."""


class CatalogError(GenzError):
    """A catalog file that is unreadable, malformed, incomplete or without sources."""


class WordError(GenzError):
    """A word that means nothing where it stands: no number format, no pattern, no memory's share."""


class UnknownNameError(GenzError):
    """A name that no catalog has; carries the nearest known ones in its cure."""


class PlanError(GenzError):
    """A plan that cannot exist: parallelism that does not divide, a dtype the chip lacks."""


def shortened(text: str, most: int = 60) -> str:
    """Somebody's input, quoted, and cut where it is endless."""
    return repr(text if len(text) <= most else f"{text[:most]}…")


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names closest to `name`, best first; none rather than far ones.

    First those that say all it says and more (`mi300`, MI300X), then the look-alikes, then what holds it.
    """
    import difflib  # late: only a wrong name needs it

    name = name.lower()
    folded = {item.lower(): item for item in known}
    cutoff = 0.66 if len(name) <= 4 else 0.72  # one letter of three; class is not aliases
    close = difflib.get_close_matches(name, folded, n=count, cutoff=cutoff)
    inside = [key for key in folded if (len(name) > 1 and name in key) or (len(key) > 2 and key in name)]
    found = [*_fuller(name, folded), *close, *sorted(inside, key=len)]
    return [folded[key] for key in dict.fromkeys(found)][:count]


def _fuller(name: str, known: Iterable[str]) -> list[str]:
    """The names that begin alike and have every word and number of `name`, the shortest first."""
    import re

    split = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?").findall
    asked = split(name)
    if len(name) < 2 or not asked:
        return []
    found = []
    for key in known:
        words = split(key)
        if words and words[0] == asked[0] and all(words.count(word) >= asked.count(word) for word in asked):
            found.append((len(words), len(key), key))
    return [key for *_, key in sorted(found)]
