"""
Towards clients.
"""
