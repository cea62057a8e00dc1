"""The SQL of other people's sessions: made fit to be stored, and told what kind of work it is. Pure.

A statement may hold anything: a password, a customer. What is kept has no literal and no comment. Where the
text is cut off (`track_activity_query_size`) or ambiguous, the rest is dropped, never guessed.
"""

import re

STORED_LENGTH = 400
"""How many characters of a statement are kept."""

_TOKEN = re.compile(
    r"""
    (?P<space>    \s+ | --[^\n]* )
  | (?P<comment>  /\* )
  | (?P<escaped>  [eE]'(?:[^'\\]|\\.|'')*' )
  | (?P<string>   (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*' )
  | (?P<dollar>   \$(?P<tag>[A-Za-z_\u0080-\uffff][\w]*)?\$ )
  | (?P<name>     (?:[uU]&)?"(?:[^"]|"")*" )
  | (?P<word>     [A-Za-z_\u0080-\uffff][\w$]* )
  | (?P<bound>    \$\d+ )
  | (?P<number>   \.?\d[\w.]* )
  | (?P<open>     ['"] )
  | (?P<sign>     . )
    """,
    re.VERBOSE | re.DOTALL,
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_MAINTENANCE = re.compile(
    r"(vacuum|analy[sz]e|reindex|cluster|checkpoint"
    r"|create\s+(unique\s+)?index|refresh\s+materialized\s+view)\b",
    re.IGNORECASE,
)
_BACKUP = re.compile(r"\bpg_(start_backup|backup_start|switch_wal|export_snapshot)\b", re.IGNORECASE)


def normalised(sql: str) -> str:
    """The statement without literals (`?`) and comments, on one line.

    The nearest known form is that of pg_stat_statements. A string that does not end, and a string whose end
    depends on `standard_conforming_strings`, ends the text with an ellipsis.
    """
    parts: list[str] = []
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None:
            break
        written, end = _written(sql, found)
        parts.append(written)
        if end is None:
            break
        at = end
    return _LIST.sub("(?, …)", " ".join("".join(parts).split()))


def shortened(sql: str, length: int = STORED_LENGTH) -> str:
    """At most so many characters, the last an ellipsis where something was left out."""
    return sql if len(sql) <= length else f"{sql[: length - 1]}…"


def is_maintenance(sql: str) -> bool:
    """Whether any statement of a normalised text is upkeep of the database itself."""
    return any(_MAINTENANCE.match(statement.strip()) for statement in sql.split(";"))


def is_backup(sql: str) -> bool:
    """Whether a normalised text takes a backup by the server's own functions."""
    return _BACKUP.search(sql) is not None


def _written(sql: str, found: re.Match[str]) -> tuple[str, int | None]:
    """What is kept of one token, and where the next begins; None where nothing after it can be read."""
    text = found.group()
    match found.lastgroup:
        case "space":
            return " ", found.end()
        case "comment":
            return " ", _comment_end(sql, found.end())
        case "escaped" | "number":
            return "?", found.end()
        case "string":
            return ("…", None) if "\\" in text else ("?", found.end())
        case "dollar" | "tag":
            end = sql.find(text, found.end())
            return ("…", None) if end < 0 else ("?", end + len(text))
        case "open":
            return "…", None
        case _:
            return text, found.end()


def _comment_end(sql: str, at: int) -> int | None:
    """Where a block comment ends; they nest."""
    depth = 1
    for found in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return found.end()
    return None
