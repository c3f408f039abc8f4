"""
Tests of certificates and of how one is chosen.
"""
