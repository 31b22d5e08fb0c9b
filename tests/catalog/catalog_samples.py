"""Texts of small catalog files, to be filled in with `format`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

CHIP = """\
name: {name}
aliases: [{alias}]
kind: {kind}
source: {{vendor: datasheet}}
peaks: {{bf16: 100 TFLOPS}}
memory:
  hbm: {{capacity: 80 GiB, bandwidth: 2 TB/s}}
power: 300 W
{more}
"""
PLATFORM = """\
name: {name}
chip: {chip}
power: 4 kW
price: $20/h
source: {{vendor: datasheet}}
levels:
  - {{name: link, size: 8, topology: switch, bandwidth: 25 GB/s, latency: 0.5 us}}
"""
PROFILE = """\
name: {name}
stack: {stack}
applies: [{applies}]
source: {{assumed: x}}
operators: {{default: {{}}}}
"""
MODEL = """\
name: {name}
aliases: [{alias}]
source: {{paper: x}}
d_model: 64
vocab: 100
layers: 4
attention: {{heads: 4, kv_heads: 2, head_dim: 16}}
mlp: {{d_ff: 256}}
"""
USECASE = "name: chat\nsource: {paper: x}\ninput_tokens: 3000\nslo: {ttft: 200 ms}\n"

Writer = Callable[[str, str], Path]
