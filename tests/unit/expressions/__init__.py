"""
Tests of `dfproxy.expressions`.
"""
