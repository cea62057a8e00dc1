"""The HTTP API: deliveries come in, people look and act. Nothing is decided here.

`api` is what the routes need, `server` puts them together, `webhooks` is for machines, `people` for people
and the command line, `health` for probes and Prometheus. `access` says who may speak, `bodies` reads what
they say, `answers` is the one form of every answer.
"""
