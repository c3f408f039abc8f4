"""
dfproxy: a reverse proxy for Docker Swarm that changes its routes while it runs.
"""
