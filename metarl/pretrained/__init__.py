"""Meta-policies that come with the package, a checkpoint and a card each.

May import: envs, for what a misspelt name was meant to be.
"""
