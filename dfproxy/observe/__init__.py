"""
Counting and wording: metrics, cells that processes share, access lines.
"""
