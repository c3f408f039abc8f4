"""
Counting and wording.
"""
