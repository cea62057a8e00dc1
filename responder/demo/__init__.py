"""The demo: a real responder and a server with a truly stuck query, brought together in under a minute.

`story` is the course of events, `screen` shows it, `victim` is the server that suffers, `service` the
responder as a process of its own, spoken to over HTTP only. Everything runs in one temporary folder, on
loopback, and is ended when the story ends, however it ends.
"""
