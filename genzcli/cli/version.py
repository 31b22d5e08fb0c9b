"""The version, kept here since importlib.metadata costs 40 ms; a test compares it with pyproject.toml."""

from __future__ import annotations

VERSION = "0.1.0"
