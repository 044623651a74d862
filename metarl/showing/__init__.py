"""What is drawn of a measurement: figures, films, the report.

May import: comparing and what it may.
"""
