"""Frozen data without I/O: what the responder talks about.

A file for each word of the field: alert, rule, incident, attempt, timeline, severity, inventory, guard
verdicts. Nothing here decides, reads a clock or opens a connection.
"""
