"""Robots that learn new skills in a handful of tries."""
