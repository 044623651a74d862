"""Adaptation beside its rivals, on the same new tasks: fine-tuning, training from scratch, others.

May import: evaluation and what it may. Never what draws it.
"""
