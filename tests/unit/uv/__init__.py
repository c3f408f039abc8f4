"""
Tests of dfproxy/uv, on uv reactors made for each test.
"""
