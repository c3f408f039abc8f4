"""
Tests with real processes, sockets and programs.
"""
