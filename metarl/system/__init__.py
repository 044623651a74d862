"""Files, checkpoints, memory and threads.

May import: nothing of ours.
"""
