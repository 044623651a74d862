"""Files, checkpoints, memory and threads.

May import: nothing else of metarl.
"""
