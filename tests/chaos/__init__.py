"""Three replicas under everything that goes wrong at once, and what must be true of them after all.

`python -m tests.chaos --seconds 600` runs it. `stage` is what stands there: a store behind links that can
be cut (`tests/support/link.py`), targets that record every effect by themselves (`target`, a PostgreSQL's
log), the action that reaches them (`action`), a `pager` that hears what people are told, replicas.
`world` is what fires and when it ends, `peers` the two Alertmanagers that tell of it, `faults` what goes
wrong, `person` who releases what nobody else may. `observer` writes down in the store's database what
happens there, by triggers of the test's own; `records` reads all of it; `check` says what must be true of
it, `tally` how much was tried, `story` how a violation came about, `sabotage` a responder that breaks its
word, to prove the check. `run` is the run.
"""
