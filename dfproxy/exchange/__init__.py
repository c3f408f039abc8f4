"""
Joining the two sides: one request and its response.
"""
