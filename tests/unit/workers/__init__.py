"""
Processes: sockets, channels and rounds, without starting any.
"""
