"""Actors: networks that act, judge and compare."""
