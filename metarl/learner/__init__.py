"""`MAML` and its runs: settings, training loop, checkpoints, log.

May import: algorithms, sampling, experience, system, agents, envs.
"""
