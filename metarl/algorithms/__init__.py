"""The mathematics of meta-learning: losses, adaptation, outer steps.

May import: experience, system, agents. Never what samples: updates are tested on literal tensors.
"""
