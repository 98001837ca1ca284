from dataclasses import dataclass, field

from semantic_core.batches.job.end import Ending
from semantic_core.domain.pricing import PriceTable
from semantic_core.providers.types import RemoteJob, ResultLine
from semantic_core.queue.jobs import JobRecord


@dataclass(slots=True)
class Tally:
    """What a result file held, as far as it was read, and the tokens that it is billed for.

    Each text is billed once, however many lines it has. A line whose vector cannot be used was
    embedded, too; one with the provider's error was not.

    Attributes:
        lines: all of them.
        unknown: of no text that was asked for.
        stored: vectors that were written.
        served: texts with a usable vector.
        failures: texts with a line that gives none; a text can be in both.
        counted: tokens by the provider's count, by content hash.
        estimated: tokens estimated here, of lines without a count; some models give none.
        pictures: how many pictures and pages a text has, which are priced by estimate: a count
            does not say of what it is.
    """

    lines: int = 0
    unknown: int = 0
    stored: int = 0
    served: set[bytes] = field(default_factory=set)
    failures: dict[bytes, ResultLine] = field(default_factory=dict)
    counted: dict[bytes, int] = field(default_factory=dict)
    estimated: dict[bytes, int] = field(default_factory=dict)
    pictures: dict[bytes, int] = field(default_factory=dict)

    def add(self, key: bytes, line: ResultLine, *, estimate: int, pictures: int) -> None:
        """Take in a line of a text, whose tokens are estimated where the line has no count."""
        if line.vector is None:
            self.failures[key] = line
        else:
            self.served.add(key)
        if line.is_refused or key in self.counted:
            return
        if pictures:
            self.pictures[key] = pictures
        if line.token_count is None or pictures:
            self.estimated[key] = estimate
        else:
            self.counted[key] = line.token_count
            self.estimated.pop(key, None)

    @property
    def answered(self) -> int:
        return len(self.served | self.failures.keys())

    def doubt(
        self, remote: RemoteJob, ending: Ending, *, sent: int, wrong_size_share: float
    ) -> str | None:
        """Return why the file as a whole is not to be trusted, or None.

        Where it is not, nothing is sent again by itself: that could be paid for twice. Of the
        texts no more than ``wrong_size_share`` may have a vector of another size.
        """
        answered, embedded = self.answered, len(self.counted) + len(self.estimated)
        wrong = sum(
            line.is_wrong_size for key, line in self.failures.items() if key not in self.served
        )
        if wrong and (wrong == answered or (wrong > 1 and wrong > answered * wrong_size_share)):
            return f"{wrong} of {answered} texts have vectors of another size."
        if not answered and (self.lines or ending.reason is None):
            return f"none of its {self.lines} lines belongs to a text that was sent."
        # A line with an error may be counted either way, or not be written at all.
        counted = remote.successful_count + remote.failed_count
        if min(counted - answered, remote.successful_count - embedded) > 0:
            return (
                f"the provider counts {remote.successful_count} embedded texts, the file holds "
                f"{embedded}: it is cut short."
            )
        if ending.reason is None and not counted and answered < sent:
            # A file that lost its end at a line's end looks whole.
            return f"it has results for {answered} of {sent} texts, and the provider counts none."
        return None

    def bill(self, record: JobRecord, prices: PriceTable) -> dict[str, int | float | None]:
        uncounted = sum(self.estimated.values())
        tokens = sum(self.counted.values()) + uncounted
        price = record.batch_price
        if price is None and (known := prices.prices.get(record.model)) is not None:
            price = known.batch
        return {
            "token_count": tokens,
            "uncounted_tokens": uncounted,
            "picture_count": sum(self.pictures.values()),
            "cost_usd": None if price is None else tokens / 1_000_000 * price,
        }
