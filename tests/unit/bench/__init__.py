"""
Tests of the measuring itself: a figure that cannot be trusted is worse than none.
"""
