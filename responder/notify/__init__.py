"""How people are told.
"""
