"""
Tests of `dfproxy.exchange`.
"""
