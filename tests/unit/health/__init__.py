"""
Tests of `dfproxy.health`.
"""
