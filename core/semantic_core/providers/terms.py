"""On what terms a provider embeds: its limits, and what it says of a model."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from semantic_core.domain.errors import RemoteNotFoundError
from semantic_core.domain.pricing import Price

# A token is about four characters of plain English: what is split here is split below that.
CHARS_PER_TOKEN = 4

# No token is longer, so a text of more bytes cannot fit; whether a shorter one does is the
# provider's call, since a table of 8,909 characters was seen to have 549 tokens.
LONGEST_TOKEN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a batch API. Times are seconds.

    Attributes:
        file_bytes: largest input file of a job.
        storage_bytes: all files of a project together, results included.
        result_number_bytes: what one number of a vector takes in a result file.
        result_line_bytes: what the rest of its line takes.
        open_jobs: jobs queued or running at one time.
        job_target: how soon a job is to be done; many are not.
        job_lifetime: a job that is not done by then expires, without results and without cost.
        result_lifetime: how long results can be fetched after the end of their job.
    """

    file_bytes: int
    storage_bytes: int
    result_number_bytes: int
    result_line_bytes: int
    open_jobs: int
    job_target: float
    job_lifetime: float
    result_lifetime: float

    @property
    def result_warning(self) -> float:
        """Seconds after the end of a job when results that are not stored begin to be urgent."""
        return self.result_lifetime / 2

    @property
    def longest_use(self) -> float:
        """Seconds after its creation when a job is over, and so are its results."""
        return self.job_lifetime + self.result_lifetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a provider says of one model; None where it is not known.

    Attributes:
        name: model id.
        price: what its tokens cost.
        token_limit: input tokens it takes for one text.
        media_types: what else it takes beside text.
        most_pictures: of one content.
        media_bytes: of all pictures and pages of one request.
        picture_tokens: of a picture or page, counted as the text that costs as much.
        shutdown: the first day (UTC) on which the provider does not serve it.
        successor: the model that the provider names in its place.
    """

    name: str
    price: Price | None = None
    token_limit: int | None = None
    media_types: tuple[str, ...] = ()
    most_pictures: int = 0
    media_bytes: int = 0
    picture_tokens: int = 0
    shutdown: date | None = None
    successor: str | None = None

    @property
    def character_limit(self) -> int | None:
        """Characters of plain English that fit the model's limit, or None."""
        return None if self.token_limit is None else self.token_limit * CHARS_PER_TOKEN

    @property
    def byte_limit(self) -> int | None:
        """UTF-8 bytes above which a text cannot fit the model's limit, or None."""
        return None if self.token_limit is None else self.token_limit * LONGEST_TOKEN

    def end(self, now: float) -> str | None:
        """Return that the model has been shut down and what to do, or None while it is served."""
        if self.shutdown is None or datetime.fromtimestamp(now, UTC).date() < self.shutdown:
            return None
        way_out = "Choose another model"
        if self.successor is not None:
            way_out = f"Its successor is {self.successor!r}"
        return (
            f"The provider shut down the model {self.name!r} on {self.shutdown}. {way_out}: a "
            "collection keeps the spec it was made with, so save the texts into a new collection "
            "whose spec names that model."
        )

    def check_served(self, now: float) -> None:
        """Raise `RemoteNotFoundError` if the provider does not serve the model any more."""
        if ended := self.end(now):
            raise RemoteNotFoundError(
                f"{ended} Nothing was sent, so this cost nothing, and nothing is lost: what waits "
                "goes on waiting and is found by keyword."
            )
