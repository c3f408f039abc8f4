"""
Tests of the frozen values.
"""
