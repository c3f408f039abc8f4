"""
The parts put together, in one process.
"""
