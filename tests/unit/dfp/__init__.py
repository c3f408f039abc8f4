"""
Tests of dfproxy.dfp.
"""
