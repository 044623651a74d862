"""What is drawn of a measurement: figures, films, the report.

May import: evaluation and what it may.
"""
