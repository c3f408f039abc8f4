"""
The side towards clients: listeners, sessions, what we say ourselves.
"""
