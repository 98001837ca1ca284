import re
from dataclasses import dataclass
from pathlib import Path

import typer

from semantic_core.database.opening import is_on_server
from semantic_core.store import PeeweeVectorStore

_PASSWORD = re.compile(r"(?<=//)([^/@:]*):[^?]*@|password=[^&\s]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A path or a URL, as it was typed; shown without a password."""

    text: str

    def __str__(self) -> str:
        return _PASSWORD.sub(
            lambda found: f"{found[1]}@" if found[1] else "password=...", self.text
        )

    def open(self) -> PeeweeVectorStore:
        """Open the store on it; see `PeeweeVectorStore`."""
        return PeeweeVectorStore(self.text)

    def is_there(self) -> bool:
        """Return whether there is a database, as far as can be told without opening it."""
        return is_on_server(self.text) or Path(self.text).exists()

    def check_there(self, hint: str = "--db") -> None:
        """Refuse what is not there: a mistyped path should not look like an empty database."""
        if not self.is_there():
            raise typer.BadParameter(
                f"there is no database at {self}. Nothing was made. Correct the path, or make one: "
                f"semcore ingest FOLDER --db {self}",
                param_hint=hint,
            )


def read_target(typed: str | Target) -> Target:
    return typed if isinstance(typed, Target) else Target(typed)
