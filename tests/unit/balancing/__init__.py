"""
Strategies, without a request in flight anywhere.
"""
