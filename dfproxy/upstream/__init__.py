"""
The side towards servers: what is known of them, connections to them, their side of the wire.
"""
