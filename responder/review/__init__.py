"""The post-incident review, written from a `Dossier` alone: the same incident gives the same bytes.

It answers the questions of the operations manual ("Post-Incident Review") as far as recorded facts can, and
leaves to people what only people know: the cause. `facts` reads the dossier, `follow_ups` says what should be
done next, `document` puts both into sections, `markdown`, `html` and `as_json` write them down, `write` is
the door. Nothing here does I/O or reads a clock; whatever came from outside is escaped where it is written.
"""
