"""Recurrent nets in PyTorch, batch-first: one architecture a file, each written for reuse.

This package itself imports nothing, so that a chapter loads only what it uses.
"""
