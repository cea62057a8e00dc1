"""The HTTP API.
"""
