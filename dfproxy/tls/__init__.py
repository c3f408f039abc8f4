"""
Certificates: read, kept by name, chosen in the handshake.
"""
