"""
Tests of `dfproxy.wire`.
"""
