"""What is measured of a learner on new tasks: returns before and after adaptation.

May import: skills, bridges, learner and what they may. Never what draws it.
"""
