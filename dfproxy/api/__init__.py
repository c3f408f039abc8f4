"""
HTTP face of the control plane: one module for each verb, speaking DFP's dialect.
"""
