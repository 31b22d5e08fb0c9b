"""Quantities as people write them, and as people read them. Ground floor: stdlib only.

Inside, every number is SI; this is the edge. GB is 1e9 bytes and GiB is 2^30, a capital B is a
byte, and what could mean two things is an error rather than a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from genzcli.errors import UnitError

#: The dash that stands where there is no value.
NONE = "–"

_LARGEST = 1e30  # beyond this it is a slip of the keyboard, not a machine
_LONGEST = 80  # characters of a quantity
_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
_SMALL = {"n": 1e-9, "u": 1e-6, "m": 1e-3}
_TENS = frozenset((*_DECIMAL.values(), *_SMALL.values(), 0.01)) - {1.0}

_EXAMPLES = {
    "bytes": "80 GiB or 80 GB",
    "bytes/s": "3.35 TB/s or 400 Gbit/s",
    "flop/s": "989 TFLOPS or 2 PFLOP/s",
    "s": "200 ms, 0.5 us or 1 h",
    "Hz": "940 MHz or 1.7 GHz",
    "W": "700 W or 10.2 kW",
    "J": "3 J or 2 kWh",
    "USD": "$3 or 3 USD",
    "USD/h": "$2.5/h or 2.5 USD/h",
    "": "0.72, 12%, 200k or 27.2e9",
}

# The unit a full-precision number is written with; parse() gives the same float back.
_BASE = {
    "bytes": "B",
    "bytes/s": "B/s",
    "flop/s": "FLOP/s",
    "s": "s",
    "Hz": "Hz",
    "W": "W",
    "J": "J",
    "USD": "USD",
    "USD/h": "USD/h",
    "": "",
}


def parse(text: str, unit: str, where: str = "") -> float:
    """The SI value of `text`, which must be a quantity of `unit`."""
    number, suffix = _split(text, where)
    value = _number(number, text, where)
    if not suffix:
        return _bare(value, text, unit, where)
    scale = _scale(suffix, unit)
    if scale is None:
        raise UnitError(f"{_short(text)!r} is not {_article(unit)}", where=where, cure=_hint(suffix, unit))
    return _sane(_scaled(value, scale), text, unit, where)


def parse_any(text: str, where: str = "") -> tuple[float, str]:
    """The SI value of `text` and the unit it turns out to be of; rates such as `50 tokens/s` are bare."""
    number, suffix = _split(text, where)
    value = _number(number, text, where)
    if suffix in ("tokens/s", "tok/s", "requests/s", "req/s", "/s"):
        return _sane(value, text, "", where), ""
    for unit in _EXAMPLES:
        if not suffix and unit:
            continue
        scale = 1.0 if not suffix else _scale(suffix, unit)
        if scale is not None:
            return _sane(_scaled(value, scale), text, unit, where), unit
    raise UnitError(
        f"{_short(text)!r} has an unknown unit", where=where, cure="write it like 200 ms or 0.5 J"
    )


def edit(current: float | None, text: str, unit: str, where: str = "") -> float:
    """What `text` makes of `current`: `*2`, `/2`, `+20%`, `-10%`, or a new value with its unit."""
    word = text.strip()
    by = factor(word, where)
    if by is None:
        if word.startswith("+"):
            raise UnitError(
                f"{_short(word)!r} is neither a value nor a change", where=where, cure="write +20%, *1.2"
            )
        return parse(word, unit, where)
    if current is None:
        cure = f"give a value, as {_EXAMPLES[unit]}"
        raise UnitError(f"there is no value that {word!r} could change", where=where, cure=cure)
    return _sane(current * by, text, unit, where)


def factor(text: str, where: str = "") -> float | None:
    """The factor of a relative edit, None where `text` is not one."""
    word = text.strip()
    if word[:1] in ("*", "/"):
        by = _number(word[1:].strip(), word, where)
        if by <= 0 or math.isinf(by):
            raise UnitError(f"{_short(word)!r} needs a factor above 0", where=where, cure="write *2 or /2")
        return by if word[0] == "*" else 1 / by
    if word[:1] in ("+", "-") and word.endswith("%"):
        share = _number(word[:-1].strip(), word, where) / 100
        if math.isinf(share) or share < -1:
            raise UnitError(
                f"{_short(word)!r} takes away more than all", where=where, cure="write +20% or -10%"
            )
        return 1 + share
    return None


def show(value: float | None, unit: str, digits: int = 3) -> str:
    """A quantity for people: prefix chosen, `digits` significant, unit named."""
    if value is None or value != value:
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value < 0:
        return "-" + show(-value, unit, digits)
    if unit in ("USD", "USD/h"):
        return _money(value, digits) + unit.removeprefix("USD")
    if unit == "s":
        return _time(value, digits)
    if not unit:
        return _plain(value, digits) if value < 1e5 else show_count(value, digits)
    return _prefixed(value, _BASE[unit], digits)


def show_count(value: float | None, digits: int = 3) -> str:
    """A bare count for people: 980, 12.3k, 27.2B."""
    if value is None or value != value:
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value < 0:
        return "-" + show_count(-value, digits)
    for scale, letter in ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "B"), (1e12, "T")):
        if scale == 1e12 or _rounded(value / scale, digits) < 1000:
            return _plain(value / scale, digits) + letter
    raise AssertionError("unreachable")  # pragma: no cover


def exact(value: float, unit: str) -> str:
    """A quantity that parse() turns back into the very same float."""
    return f"{float(value)!r} {_BASE[unit]}".rstrip()


# --- reading -------------------------------------------------------------------------------


def _split(text: str, where: str) -> tuple[str, str]:
    """The number and the unit written in `text`; a leading $ moves behind the number."""
    word = text.strip()
    if not word:
        raise UnitError("the value is empty", where=where, cure="write a number and its unit")
    if len(word) > _LONGEST:
        raise UnitError(
            f"{_short(word)!r} is too long for a quantity", where=where, cure="write a number and its unit"
        )
    dollar = "$" if word.lstrip("+-").startswith("$") else ""
    if dollar:
        word = word.replace("$", "", 1)
    end = _number_end(word)
    return word[:end], dollar + word[end:].strip()


def _number_end(word: str) -> int:
    """Where the number at the start of `word` stops; an `e` counts only before digits."""
    lower = word.lower()
    start = 1 if lower[:1] in ("+", "-") else 0
    for name in ("infinity", "inf", "nan"):
        if lower.startswith(name, start):
            return start + len(name)
    at = start
    while at < len(word) and (word[at] in "0123456789._"):
        at += 1
    if at > start and lower[at : at + 1] == "e":
        digits = at + 2 if lower[at + 1 : at + 2] in ("+", "-") else at + 1
        if word[digits : digits + 1] in tuple("0123456789"):
            at = digits
            while at < len(word) and word[at] in "0123456789_":
                at += 1
    return at


def _number(number: str, text: str, where: str) -> float:
    try:
        value = float(number)
    except ValueError:
        cure = "write digits first, as 3.35 TB/s or 1e12, without thousands commas"
        raise UnitError(f"{_short(text)!r} is not a number", where=where, cure=cure) from None
    if value != value:
        raise UnitError("NaN is not a value", where=where, cure="give a number, or leave it out")
    if value == 0 and any(digit in "123456789" for digit in number.lower().partition("e")[0]):
        raise UnitError(f"{_short(text)!r} is too small", where=where, cure="check the exponent")
    if math.isinf(value) and "n" not in number.lower():  # 1e999, not the word inf
        raise UnitError(
            f"{_short(text)!r} is absurdly large", where=where, cure="check the exponent and the prefix"
        )
    return value


def _bare(value: float, text: str, unit: str, where: str) -> float:
    if unit and value != 0 and not math.isinf(value):
        raise UnitError(f"{_short(text)!r} has no unit", where=where, cure=f"write it like {_EXAMPLES[unit]}")
    return _sane(value, text, unit, where)


def _sane(value: float, text: str, unit: str, where: str) -> float:
    if math.isinf(value) and "inf" in text.lower():  # the word, not an overflow
        if not unit:
            return value
        raise UnitError("infinity is not a value here", where=where, cure=f"write it like {_EXAMPLES[unit]}")
    if abs(value) > _LARGEST:
        raise UnitError(
            f"{_short(text)!r} is absurdly large", where=where, cure="check the exponent and the prefix"
        )
    return value


def _scaled(value: float, scale: float) -> float:
    """value x scale; powers of ten as if written out, so that 66.9 TFLOPS is 6.69e13 exactly."""
    scaled = value * scale
    return float(f"{scaled:.15g}") if scale in _TENS else scaled


def _scale(suffix: str, unit: str) -> float | None:
    """SI units in one `suffix`; None where it is not a spelling of `unit`."""
    spelling = suffix.replace("µ", "u").replace("μ", "u")
    return _SCALES[unit](spelling)


def _bytes(spelling: str) -> float | None:
    if spelling in ("byte", "bytes"):
        return 1.0
    # An all-small gb is how people type GB; Gb is a gigabit to whoever writes it, so not accepted.
    word = spelling.upper().replace("IB", "iB") if spelling == spelling.lower() else spelling
    return _lookup(word, "B", _DECIMAL | _BINARY | {"K": 1e3})


def _bytes_per_s(spelling: str) -> float | None:
    if spelling in ("gbps", "mbps", "tbps", "kbps"):  # all-small: always bits
        spelling = spelling[0].replace("k", "K").upper() + "bps"
    for ending in ("/s", "ps", "/sec"):
        word = spelling.removesuffix(ending)
        if word == spelling:
            continue
        prefixes = _DECIMAL | _BINARY | {"K": 1e3}
        if (scale := _lookup(word, "B", prefixes)) is not None:
            return scale
        if (scale := _lookup(word, "bit", prefixes)) is not None:
            return scale / 8
        if (scale := _lookup(word, "b", _DECIMAL | {"K": 1e3})) is not None:
            return scale / 8  # Gb/s; Gib/s is left out, few would agree what it is
    return None


def _flop_per_s(spelling: str) -> float | None:
    word = spelling.upper()
    for ending in ("FLOPS", "FLOP/S", "FLOPS/S", "OPS", "OP/S", "OPS/S"):
        if word.endswith(ending):
            scale = _lookup(word, ending, {key.upper(): scale for key, scale in _DECIMAL.items()})
            if scale is not None:
                return scale
    return None


def _seconds(spelling: str) -> float | None:
    words = {
        "sec": 1.0,
        "second": 1.0,
        "seconds": 1.0,
        "min": 60.0,
        "h": 3600.0,
        "hr": 3600.0,
        "hour": 3600.0,
    }
    return words.get(spelling) or _lookup(spelling, "s", {"": 1.0} | _SMALL)


def _hertz(spelling: str) -> float | None:
    return _lookup(spelling.upper(), "HZ", {key.upper(): scale for key, scale in _DECIMAL.items()})


def _watts(spelling: str) -> float | None:
    return _lookup(spelling, "W", _DECIMAL | {"K": 1e3, "m": 1e-3})


def _joules(spelling: str) -> float | None:
    hours = _lookup(spelling, "Wh", _DECIMAL)
    return hours * 3600 if hours is not None else _lookup(spelling, "J", _DECIMAL | _SMALL)


def _dollars(spelling: str) -> float | None:
    if spelling.startswith("$"):
        return {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}.get(spelling[1:])
    return 1.0 if spelling in ("USD", "usd") else None


def _dollars_per_hour(spelling: str) -> float | None:
    money, slash, per = spelling.partition("/")
    if not slash or per.strip() not in ("h", "hr", "hour"):
        return None
    return _dollars(money.strip())


def _ratio(spelling: str) -> float | None:
    return {"%": 0.01, "k": 1e3, "K": 1e3, "M": 1e6}.get(spelling)


def _lookup(word: str, ending: str, prefixes: Mapping[str, float]) -> float | None:
    return prefixes.get(word.removesuffix(ending)) if word.endswith(ending) else None


_SCALES: Mapping[str, Callable[[str], float | None]] = {
    "bytes": _bytes,
    "bytes/s": _bytes_per_s,
    "flop/s": _flop_per_s,
    "s": _seconds,
    "Hz": _hertz,
    "W": _watts,
    "J": _joules,
    "USD": _dollars,
    "USD/h": _dollars_per_hour,
    "": _ratio,
}


def _hint(suffix: str, unit: str) -> str:
    if unit in ("bytes", "bytes/s") and suffix.rstrip("/s").endswith("b"):
        per = "/s" if unit == "bytes/s" else ""
        bits = " or Gbit/s (bits)" if per else ""
        return f"a small b may mean bits: write GB{per} or GiB{per} (bytes){bits}"
    if suffix[:1] == ",":
        return "leave out thousands commas, as 1_000 or 1e3"
    if suffix == "%":
        return f"write +20% or *1.2 to change a value, or a value like {_EXAMPLES[unit]}"
    return f"write it like {_EXAMPLES[unit]}"


def _article(unit: str) -> str:
    return f"a quantity in {unit}" if unit else "a plain number"


def _short(text: str) -> str:
    word = text.strip()
    return word if len(word) <= 40 else word[:37] + "…"


# --- printing ------------------------------------------------------------------------------


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _plain(value: float, digits: int) -> str:
    """`digits` significant digits without an exponent; whole numbers keep all of theirs."""
    if value == 0:
        return "0"
    if value >= 10 ** (digits - 1):
        return f"{value:.0f}"
    places = digits - 1 - math.floor(math.log10(_rounded(value, digits)))
    if places > digits + 6:
        return f"{value:.{digits}g}"
    shown = f"{value:.{places}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _prefixed(value: float, base: str, digits: int) -> str:
    if value == 0:
        return f"0 {base}"
    small = {"µ": 1e-6, "m": 1e-3} if base in ("W", "J") else {}
    for prefix, scale in (small | _DECIMAL).items():
        if prefix == "E" or _rounded(value / scale, digits) < 1000:
            return f"{_plain(value / scale, digits)} {prefix}{base}"
    raise AssertionError("unreachable")  # pragma: no cover


def _time(value: float, digits: int) -> str:
    if value == 0:
        return "0 s"
    if value >= 7200:
        return f"{_plain(value / 3600, digits)} h"
    if value >= 120:
        return f"{_plain(value / 60, digits)} min"
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if _rounded(value / scale, digits) < 1000:
            return f"{_plain(value / scale, digits)} {unit}"
    return f"{_plain(value, digits)} s"


def _money(value: float, digits: int) -> str:
    if value == 0 or 1 <= value < 999.995:
        return f"${value:.2f}"
    if value < 1:
        shown = _plain(value, digits)
        return f"${value:.2f}" if ("." in shown and len(shown) < 4) or shown == "1" else f"${shown}"
    scale, letter = (1e3, "k") if _rounded(value / 1e3, digits) < 1000 else (1e6, "M")
    return f"${_plain(value / scale, digits)}{letter}"
