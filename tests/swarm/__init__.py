"""
The proxy as a service of a real Docker Swarm of two nodes, on one machine; `make swarm-test`.
"""
