"""
Several processes: the leader, the workers, and what goes between them.
"""
