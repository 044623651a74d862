"""Which known tasks a new one resembles, and what was learned on those.

May import: learner and what it may.
"""
