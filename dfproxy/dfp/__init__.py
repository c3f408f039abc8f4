"""
The DFP dialect: Docker Flow Proxy's parameters, variables and answers. Its words stop here.
"""
