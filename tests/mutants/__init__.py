"""Does a test notice when what decides, or what ledger and intake ask the database, is wrong in one place?

`python -m tests.mutants` makes the mutants from the source (`python_code`, `sql_text`), puts one after the
other into a process that has imported the tests already (`swap`, `trial`), and runs the tests that reach the
changed line until one fails. A mutant that no test notices has survived. It is either explained in
`equivalent.toml`, with a reason, or it is a defect of the tests, and the run fails.

Why not mutmut, which was tried first (3.8.1): it took 3 s for a mutant where this takes a fraction of one,
and made 331 of `fold.py` alone, most of them of the wording of reasons, without a way to leave a kind out; it
leaves alone what matters most here (which guards there are, thresholds and constants, properties, conditions
that can be left out, statements), knows neither a limit of time nor explanations, and knows no SQL.
"""
