"""
Tests of `dfproxy.upstream`.
"""
