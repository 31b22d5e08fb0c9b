"""Hugging Face `config.json` files: read as models, written as catalog files."""
