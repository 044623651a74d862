"""What is measured of a learner: returns on new tasks, comparisons, other bodies.

May import: skills, bridges, learner and what they may. Never what draws it.
"""
