"""What happened in rollouts, and what a learner needs of it.

May import: agents.
"""
