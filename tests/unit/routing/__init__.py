"""
Tests of dfproxy.routing.
"""
