"""
Changing what runs, with plain values and a clock of our own.
"""
