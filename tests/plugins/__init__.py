"""
The plugins that we show: the examples to copy, and the one that the documentation writes.
"""
