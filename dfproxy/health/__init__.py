"""
Verdicts on servers, without I/O.
"""
