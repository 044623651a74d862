"""Rollouts of many tasks at once: in this thread, in threads, in processes.

May import: experience, system, agents, envs.
"""
