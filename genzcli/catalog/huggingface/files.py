"""Config files on disk: their text, the quantisation file beside them, and the model's name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from genzcli.catalog.document import read_text
from genzcli.errors import CatalogError

#: Configs that list every quantised module reach a few megabytes.
LARGEST_BYTES = 32 << 20

_END = "config.json"
_QUANT = "hf_quant_config.json"


def read(path: str, shown: str) -> str:
    """The text of a config."""
    return read_text(path, shown, LARGEST_BYTES)


def mapping(text: str, shown: str) -> Mapping[str, Any]:
    """The JSON object of a text."""
    import json

    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        cure = "give the config.json as it was downloaded"
        message = f"is not valid JSON: {error.msg}"
        raise CatalogError(message, where=f"{shown}:{error.lineno}", cure=cure) from None
    except (RecursionError, ValueError):
        raise CatalogError("is not readable JSON", where=shown, cure="give a config.json") from None
    if not isinstance(values, dict):
        raise CatalogError("holds no JSON object", where=shown, cure="give the config.json of a model")
    return values


def beside(path: str) -> Mapping[str, Any] | None:
    """ModelOpt's hf_quant_config.json next to a config, its two levels in one."""
    folder, name = os.path.split(path)
    other = os.path.join(folder, name.removesuffix(_END) + _QUANT)
    if not name.endswith(_END) or not os.path.isfile(other):
        return None
    values = mapping(read(other, other), other)
    inner = values.get("quantization")
    return {**values, **inner} if isinstance(inner, Mapping) else values


def name_of(path: str) -> tuple[str, str]:
    """(id, hub name or "") of a config by its path.

    `Org--Name_config.json`, a cache's `models--Org--Name/snapshots/…/config.json`, `Name/config.json`.
    """
    whole = os.path.abspath(path)
    folder, name = os.path.split(whole)
    stem = name.removesuffix(".json")
    for end in ("config", "_", "-", "."):
        stem = stem.removesuffix(end)
    cached = next((part for part in folder.split(os.sep) if part.startswith("models--")), "")
    word = stem or cached.removeprefix("models--") or os.path.basename(folder)
    org, _, model = word.rpartition("--")
    hub = f"{org}/{model}" if org and "--" not in org else ""
    return folded_name(model), hub


def name_in(values: Mapping[str, Any]) -> tuple[str, str]:
    """The same for a config without a path: where it was saved from, or its type."""
    saved, kind = values.get("_name_or_path"), values.get("model_type")
    word = saved if isinstance(saved, str) and saved.strip("/. ") else kind if isinstance(kind, str) else ""
    return folded_name(word.rstrip("/").rpartition("/")[2]), ""


def folded_name(text: str) -> str:
    """An id as the catalog writes them."""
    return text.strip().lower().replace("_", "-").replace(" ", "-") or "model"
