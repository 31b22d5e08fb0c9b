"""From the text of a config.json to the text of a catalog file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genzcli.catalog.huggingface import families, vision
from genzcli.catalog.huggingface.config import TEXT_KEYS, Config
from genzcli.catalog.huggingface.draft import Draft, Layer, named, runs
from genzcli.catalog.huggingface.quantisation import precision
from genzcli.errors import CatalogError, nearest

_CORE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-")


def convert(
    values: Mapping[str, Any],
    shown: str,
    name: tuple[str, str],
    beside: Mapping[str, Any] | None = None,
    origin: str = "",
) -> str:
    """The catalog file of a config; `name` is (id, hub name or ""), `origin` the config's own."""
    config = choose(values, shown)
    draft = families.FAMILIES[config.family](config)
    draft.precision = precision(config, draft, beside)
    if draft.expert_format and "experts" not in draft.precision:
        draft.precision = {
            "weights": draft.precision["weights"],
            "experts": draft.expert_format,
            **draft.precision,
        }
    draft.vision = vision.tower(config, values, draft)
    _around(config, values)
    _check(config, draft)
    return write(config, draft, name, origin)


# --- which family ---


def choose(values: Mapping[str, Any], shown: str) -> Config:
    """The part of a config that describes the language model, and its family."""
    inner = next((values[key] for key in TEXT_KEYS if isinstance(values.get(key), Mapping)), None)
    if inner is not None and isinstance(inner.get("text_config"), Mapping):  # thinker_config
        inner = inner["text_config"]
    words = [word for part in (inner, values) if part for word in _words(part)]
    family = next((found for word in words if (found := families.known(word))), None)
    if family is None and "ssm_cfg" in values:
        family = "mamba_ssm"
    if family is None:
        raise _unknown(values if inner is None else inner, words, shown)
    defaults = {**(families.NESTED.get(family, {}) if inner else {}), **families.DEFAULTS.get(family, {})}
    return Config(inner or values, shown, outer=values, family=family, defaults=defaults)


def _words(values: Mapping[str, Any]) -> list[str]:
    """What a config calls itself: its type, then its classes."""
    listed = values.get("architectures")
    words = [values.get("model_type"), *(listed if isinstance(listed, list) else [])]
    return [word for word in words if isinstance(word, str) and word]


def _unknown(values: Mapping[str, Any], words: list[str], shown: str) -> CatalogError:
    lacking = [key for key in _CORE if key not in values]
    lacks = f"; it lacks {', '.join(lacking)}" if lacking else ""
    names = sorted({name for name in families.FAMILIES if not name.endswith("_text")})
    if not words:
        message = f"has neither model_type nor architectures{lacks}"
        return CatalogError(message, where=shown, cure="give the config.json of a model")
    near = nearest(words[0], names)
    meant = f"nearest: {', '.join(near)}; " if near else ""
    called = one_line(" / ".join(word[:60] for word in dict.fromkeys(words)))
    message = f"unknown architecture {called}{lacks}"
    return CatalogError(message, where=shown, cure=f"{meant}known: {', '.join(names)}")


def _around(config: Config, values: Mapping[str, Any]) -> None:
    """Towers beside the language model that are not read."""
    if values.get("audio_config"):
        config.note("audio tower")


def _check(config: Config, draft: Draft) -> None:
    for layer in draft.layers:
        part = layer.get("attention")
        if part and part["heads"] % part["kv_heads"]:
            raise config.wrong("num_key_value_heads", part["kv_heads"], f"a divisor of {part['heads']} heads")


# --- the file ---


def write(config: Config, draft: Draft, name: tuple[str, str], origin: str = "") -> str:
    """The YAML text, small things left out said at its top."""
    own, hub = name
    origin = one_line(origin or hub or own)
    lines = [f"# From the config.json of {origin} ({config.family})."]
    if config.notes:
        lines.append(f"# Left out: {one_line(', '.join(config.notes))}.")
    if config.defaulted:
        said = ", ".join(f"{key} {value}" for key, value in config.defaulted.items())
        lines.append(one_line(f"# Not in the config, taken from the defaults of its class: {said}."))
    lines.append(f"name: {scalar(own)}")
    if hub:
        lines.append(f"aliases: [{scalar(hub)}]")
    reference = f"config.json of {origin}, model_type {config.family}"
    lines.append(f"source: {{vendor: {quoted(reference)}}}")
    lines.append(f"precision: {_precision(draft.precision)}")
    lines += [f"d_model: {draft.d_model}", f"vocab: {draft.vocab}"]
    lines += ["tied_embeddings: true"] if draft.tied else []
    lines += [f"positions: {draft.positions}"] if draft.positions else []
    lines += [f"max_context: {draft.context}"] if draft.context else []
    for word, tower in (("encoder", draft.encoder), ("vision", draft.vision)):
        if tower is not None:
            lines += [f"{word}:", *_tower(*tower)]
    return "\n".join([*lines, *_layers(draft.layers, draft.mtp)]) + "\n"


def _tower(layers: Sequence[Layer], others: Mapping[str, Any]) -> list[str]:
    """A tower's own keys and its layers, two columns in."""
    own = [f"{key}: {flow(item)}" for key, item in others.items()]
    return [f"  {line}" for line in (*own, *_layers(layers))]


def _layers(layers: Sequence[Layer], mtp: tuple[int, Layer] | None = None) -> list[str]:
    """The layers, and ahead of them the modules that predict."""
    predicting = [] if mtp is None else [mtp[1]]
    blocks, order = named([*layers, *predicting])
    lines = [] if mtp is None else _modules(mtp[0], order.pop(), blocks)
    if len(blocks) == 1:
        body = next(iter(blocks.values()))
        lines.append(f"layers: {len(order)}")
        return [*lines, *(f"{key}: {flow(value)}" for key, value in body.items())]
    lines.append("blocks:")
    for name, body in blocks.items():
        lines += [f"  {name}:", *(f"    {key}: {flow(value)}" for key, value in body.items())]
    lines.append("layers:")
    for pattern, repeat in runs(order):
        if len(pattern) == 1:
            lines.append(f"  - {{block: {pattern[0]}, repeat: {repeat}}}")
        else:
            lines.append(f"  - {{pattern: [{', '.join(pattern)}], repeat: {repeat}}}")
    return lines


def _modules(number: int, block: str, blocks: Mapping[str, Any]) -> list[str]:
    """The multi-token-prediction modules; their block is the only one, or named."""
    return [f"mtp: {flow({'modules': number} | ({'block': block} if len(blocks) > 1 else {}))}"]


def _precision(words: Mapping[str, str]) -> str:
    """One word where all is alike."""
    kinds = set(words.values())
    return next(iter(kinds)) if len(kinds) == 1 else flow(words)


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def scalar(word: str) -> str:
    """A word as YAML writes it, quoted where it has to be."""
    return word if word and set(word) <= _PLAIN and not word.isdigit() and word[0].isalpha() else quoted(word)


def quoted(text: str) -> str:
    """A text in double quotes."""
    text = one_line(text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def one_line(text: str) -> str:
    """A text without line breaks and control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
