"""
Longer runs of the uv reactor: Twisted's own conformance suites.
"""
