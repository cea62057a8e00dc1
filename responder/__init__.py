"""Responder: answers alerts for an on-call team.

The house, from the ground up: `model` (data), `decide` (pure decisions), `rulebook` (what users write),
`ports` (what the engine needs of the world), `clients`, `store`, `actions`, `sources`, `notify` (the
world), `engine` (does what was decided), `review` (tells it afterwards), `web`, `settings`, `app` (puts
it together), `cli`. Imports point down only.
"""
