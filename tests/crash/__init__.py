"""The responder is killed at every point between a delivery and its outcome, and must keep its word.

`python -m tests.crash` runs them all. `stage` is where it happens, `sender` what is told, `run` one death and
what comes after, `ledger` what the responder's database says, `check` what must be true of that and of what
the victim's log says (`tests/support/witness.py`), `sabotage` a responder that breaks its word, to prove it.
"""
