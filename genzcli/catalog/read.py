"""A file of a catalog to nodes: YAML as it stands, a Hugging Face config as the catalog file it makes."""

from __future__ import annotations

import os

from genzcli.catalog.document import Node, parse, read_text, shorten

#: Any of these makes a JSON file a config; a catalog file written as JSON has none.
_MARKS = ("model_type", "architectures", "hidden_size", "num_hidden_layers", "text_config", "ssm_cfg")


def read(path: str | os.PathLike[str], cure: str = "start with `name: …`") -> Node:
    """The root mapping of a file; `cure` is for a file that holds something else."""
    shown = shorten(path)
    if os.fspath(path).endswith(".json"):
        return _config(os.fspath(path), shown, cure)
    text = read_text(path, shown)
    if text.lstrip("\ufeff \t\r\n").startswith("{") and '"model_type"' in text:  # a config by another name
        return _config(os.fspath(path), shown, cure)
    return parse(text, shown, cure)


def _config(path: str, shown: str, cure: str) -> Node:
    from genzcli.catalog.huggingface import files  # late: few questions bring a config
    from genzcli.catalog.huggingface.convert import convert

    text = files.read(path, shown)
    values = files.mapping(text, shown)
    if not any(key in values for key in _MARKS):
        return parse(text, shown, cure)
    return parse(convert(values, shown, files.name_of(path), files.beside(path)), shown)
