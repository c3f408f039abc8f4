"""
Tests of dfproxy.discovery.
"""
