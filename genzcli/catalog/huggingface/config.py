"""A config.json as a family reads it: keys under several names, defaults said, nothing guessed."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, TypeAlias

from genzcli.errors import CatalogError, shortened

#: Where a multimodal config keeps its language model.
TEXT_KEYS = ("text_config", "language_config", "llm_config", "thinker_config")


#: One a layer; named here, since `list` is a method below.
Words: TypeAlias = list[str]
Flags: TypeAlias = list[bool]

#: Beyond any size of a model.
_MOST = 10**9


class Config:
    """The keys of one language model, those around it, and what was noted while reading."""

    def __init__(
        self,
        values: Mapping[str, Any],
        where: str,
        *,
        outer: Mapping[str, Any] | None = None,
        family: str = "",
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.values, self.outer, self.where, self.family = values, outer or values, where, family
        self.defaults = defaults or {}
        self.notes: list[str] = []
        self.defaulted: dict[str, Any] = {}

    # --- values ---

    def get(self, *keys: str) -> Any:
        """The first of these keys that has a value; else the default of the family's class; else None."""
        found = next((self.values[key] for key in keys if self.values.get(key) is not None), None)
        return self._default(*keys) if found is None else found

    def _default(self, *keys: str) -> Any:
        """What the class assumes; a key that the config sets to null has no default."""
        for key in keys:
            if self.defaults.get(key) is not None and key not in self.values:
                self.defaulted[key] = self.defaults[key]
                return self.defaults[key]
        return None

    def around(self, *keys: str) -> Any:
        """Like `get`, but a multimodal config may have the key outside its language model as well."""
        for part in (self.values, self.outer):
            found = next((part[key] for key in keys if part.get(key) is not None), None)
            if found is not None:
                return found
        return self._default(*keys)

    def count(self, *keys: str, default: int | Callable[[], int] | None = None, least: int = 1) -> int:
        """A whole number of at least `least`, under the first of these names."""
        value = self.get(*keys)
        if value is None:
            if default is None:
                raise self.lacks(*keys)
            return default() if callable(default) else default
        return self.whole(value, keys[0], least)

    def whole(self, value: Any, key: str, least: int = 1) -> int:
        """`value` as a whole number, or an error that names its key."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.wrong(key, value, "a whole number")
        if value < least:
            raise self.wrong(key, value, f"at least {least}")
        if value > _MOST:
            raise self.wrong(key, value, f"at most {_MOST}")
        return int(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.lacks(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-12 < value < 1e12:
            raise self.wrong(key, value, "a number above 0")
        return float(value)

    def flag(self, *keys: str, default: bool = False) -> bool:
        value = self.get(*keys)
        return default if value is None else self.truth(value, keys[0])

    def truth(self, value: Any, key: str) -> bool:
        """`value` as yes or no, or an error that names its key."""
        if not isinstance(value, bool) and value not in (0, 1):
            raise self.wrong(key, value, "true or false")
        return bool(value)

    def list(self, *keys: str, length: int | None = None) -> list[Any] | None:
        """A list of at least `length` members, cut to it: prediction layers may follow the others."""
        value = self.get(*keys)
        if value is None:
            return None
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.wrong(keys[0], value, "a list")
        if length is not None and len(value) < length:
            raise self.wrong(keys[0], f"{len(value)} entries", f"one for each of {length} layers")
        return list(value[:length])

    def words(self, *keys: str, length: int, known: Container[str] | None = None) -> Words | None:
        """A word for each layer, each of the `known` ones."""
        found = self.list(*keys, length=length)
        for word in found or ():
            if not isinstance(word, str):
                raise self.wrong(keys[0], word, "a word for each layer")
            if known is not None and word not in known:
                raise self.refuse(f"layers of the type {shortened(word)}")
        return found

    def places(self, *keys: str) -> set[int] | None:
        """Layers by number, counted from 0."""
        found = self.list(*keys)
        return None if found is None else {self.whole(item, keys[0], least=0) for item in found}

    def flags(self, *keys: str, length: int) -> Flags | None:
        """Yes or no for each layer."""
        found = self.list(*keys, length=length)
        for item in found or ():
            if not isinstance(item, bool | int) or item not in (0, 1):
                raise self.wrong(keys[0], item, "0 or 1 for each layer")
        return None if found is None else [bool(item) for item in found]

    def table(self, *keys: str) -> Config | None:
        """A mapping inside this one, read the same way."""
        value = self.get(*keys)
        if value is None:
            return None
        return self.inside(value, keys[0])

    def inside(self, value: Any, key: str) -> Config:
        """A mapping under a key of this one, or in a list there."""
        if not isinstance(value, Mapping):
            raise self.wrong(key, value, "a mapping")
        inner = Config(value, self.where, family=f"{self.family} ({key})")
        inner.notes = self.notes
        return inner

    def over(self, values: Any, key: str) -> Config:
        """This config with some keys of one layer's own in place of its."""
        if not isinstance(values, Mapping):
            raise self.wrong(key, values, "a mapping for each layer")
        inner = Config({**self.values, **values}, self.where, family=self.family, defaults=self.defaults)
        inner.notes, inner.defaulted = self.notes, self.defaulted
        return inner

    # --- what goes wrong, what is left out ---

    def lacks(self, *keys: str) -> CatalogError:
        names = " or ".join(repr(key) for key in keys[:3])
        return CatalogError(
            f"{names} is missing, and {self.family} needs it", where=self.where, cure="add it to the config"
        )

    def wrong(self, key: str, value: Any, wanted: str) -> CatalogError:
        shown = value if isinstance(value, str) and value.isprintable() and value else repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "…"
        return CatalogError(f"{key} of {self.family} is {shown}", where=self.where, cure=f"give {wanted}")

    def refuse(self, *features: str) -> CatalogError:
        """The error of a known family with features that a model file cannot say."""
        return CatalogError(
            f"{self.family} has what a model here cannot say: {'; '.join(features)}",
            where=self.where,
            cure="a model file without them would answer wrongly, so none is made",
        )

    def note(self, text: str) -> None:
        """Something small that the model leaves out, said once."""
        if text not in self.notes:
            self.notes.append(text)
