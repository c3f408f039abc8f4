"""
The command `dfproxy`.
"""
