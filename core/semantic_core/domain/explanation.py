"""What the words of a search did."""

from collections.abc import Callable
from dataclasses import dataclass, field


def _no_passages(_: str) -> list[tuple[int, int]]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Which words of a search had a part in its ranking, and which had none.

    Of a long run of Chinese, Japanese, Korean, Thai, Lao, Khmer or Burmese each pair of
    characters is a word here.

    Attributes:
        ranked: hits are ranked by these.
        too_common: these are in more than a fifth of the chunks that were asked, so they tell
            nothing apart; chunks that hold no other word come last.
        too_many: these are not among the 128 rarest, and chunks that hold no other come last.
        unknown: no chunk that was asked holds these.
        passages: returns where in a text the words stand, as (start, end) of each passage.
    """

    ranked: tuple[str, ...] = ()
    too_common: tuple[str, ...] = ()
    too_many: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    passages: Callable[[str], list[tuple[int, int]]] = field(
        default=_no_passages, repr=False, compare=False
    )

    def __str__(self) -> str:
        said = {
            "Ranked by": self.ranked,
            "Too common to tell chunks apart": self.too_common,
            f"Beyond the {len(self.ranked)} rarest": self.too_many,
            "In no chunk that was asked": self.unknown,
        }
        parts = (f"{why}: {', '.join(words)}." for why, words in said.items() if words)
        return " ".join(parts) or "No word was looked for."
