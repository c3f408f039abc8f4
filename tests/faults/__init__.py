"""
What clients see while things break: servers, workers, the leader, and the definitions all at once.
"""
