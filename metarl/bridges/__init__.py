"""Policies handed to other programs: Stable-Baselines3 and ONNX.

May import: system, agents.
"""
