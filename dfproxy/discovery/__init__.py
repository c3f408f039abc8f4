"""
Who the servers are, and which services there are: sources beside the API.
"""
