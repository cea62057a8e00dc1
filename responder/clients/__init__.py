"""Thin, configured clients of other systems: PostgreSQL, Prometheus, Alertmanager, HTTP.

Each keeps its own connections and limits, and turns failures into `model.errors`.
"""
