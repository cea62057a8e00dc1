"""What PostgreSQL refuses is halved until the bad alert stands alone, in the dead letters with its reason.

Its neighbours are written without it, each with its own answer: a bad row among n costs at most
2 log2(n) + 2 transactions more than a good batch.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from responder.model.alert import Delivery, Receipt, rejected
from responder.model.errors import DeposedError, PermanentError, ResponderError, StoreAwayError

Answer = Receipt | ResponderError


@dataclass(frozen=True, slots=True)
class _Piece:
    """One alert of delivery `number`; the last one carries what belongs to the whole of it."""

    number: int
    delivery: Delivery


@dataclass(slots=True)
class Isolation:
    """The rescue of one batch that could not be written as a whole.

    `commit` writes deliveries in one transaction. `answers` holds what has become of each delivery so far.
    """

    commit: Callable[[Sequence[Delivery]], Awaitable[list[Receipt]]]
    batch: Sequence[Delivery]
    answers: list[Answer] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = [Receipt(stored=0, rejected=0) for _ in self.batch]

    async def run(self, error: Exception) -> list[Answer]:
        """An answer for each delivery. `error` is why the batch as a whole could not be written."""
        pieces = [piece for number, one in enumerate(self.batch) for piece in _pieces(number, one)]
        try:
            await self._divide(pieces, error)
        except (StoreAwayError, TimeoutError):
            self._fail(range(len(self.batch)), StoreAwayError("the database did not store it"))
        return self.answers

    async def _divide(self, pieces: Sequence[_Piece], error: Exception) -> None:
        if len(pieces) == 1:
            await self._alone(pieces[0], error)
            return
        half = len(pieces) // 2
        for part in (pieces[:half], pieces[half:]):
            await self._write(part)

    async def _write(self, pieces: Sequence[_Piece]) -> None:
        try:
            receipts = await self.commit(list(_joined(pieces).values()))
        except (StoreAwayError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, only its own delivery may fail by it
            await self._divide(pieces, error)
            return
        for number, receipt in zip(_joined(pieces), receipts, strict=True):
            self._add(number, receipt)

    async def _alone(self, piece: _Piece, error: Exception) -> None:
        """The piece at fault. Data that is refused is kept as a dead letter; a fault of ours is not."""
        one = piece.delivery
        if not isinstance(error, PermanentError) or not one.alerts:
            # Never a 4xx: Alertmanager would bring it back only at the next group interval, or never.
            away = StoreAwayError("the delivery could not be stored")
            self._fail([piece.number], error if isinstance(error, DeposedError) else away)
            return
        letters = tuple(rejected(alert, str(error)) for alert in one.alerts)
        try:
            receipts = await self.commit([replace(one, alerts=(), rejected=(*letters, *one.rejected))])
        except (StoreAwayError, TimeoutError):
            raise
        except Exception as failure:  # noqa: BLE001 - the letter's own delivery fails by it, its neighbours live
            await self._alone(replace(piece, delivery=replace(one, alerts=())), failure)
        else:
            self._add(piece.number, receipts[0])

    def _add(self, number: int, receipt: Receipt) -> None:
        before = self.answers[number]
        if isinstance(before, Receipt):
            self.answers[number] = Receipt(
                stored=before.stored + receipt.stored,
                rejected=before.rejected + receipt.rejected,
                incidents=tuple(dict.fromkeys((*before.incidents, *receipt.incidents))),
            )

    def _fail(self, numbers: Iterable[int], error: ResponderError) -> None:
        for number in numbers:
            self.answers[number] = error


def _pieces(number: int, delivery: Delivery) -> list[_Piece]:
    """A delivery alert by alert. Its position moves with the last: it never runs ahead of what is stored."""
    bare = replace(delivery, rejected=(), position=None, refold=(), retried=None)
    parts = [replace(bare, alerts=(alert,)) for alert in delivery.alerts[:-1]]
    whole = replace(delivery, alerts=delivery.alerts[-1:])
    return [_Piece(number, part) for part in (*parts, whole)]


def _joined(pieces: Sequence[_Piece]) -> dict[int, Delivery]:
    """The pieces as deliveries again, in order; their numbers as keys."""
    joined: dict[int, Delivery] = {}
    for piece in pieces:
        before = joined.get(piece.number)
        alerts = (*(before.alerts if before else ()), *piece.delivery.alerts)
        joined[piece.number] = replace(piece.delivery, alerts=alerts)
    return joined
