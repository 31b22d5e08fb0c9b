"""Spec in, numbers out: pure functions on numbers or arrays. No files, no printing, no formats."""
