"""
Frozen values: what was asked for. No I/O, no clock, no reactor.
"""
