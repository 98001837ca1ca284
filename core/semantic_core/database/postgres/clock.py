from dataclasses import dataclass
from typing import Self

from semantic_core.database.port import Connection
from semantic_core.domain.clock import SystemClock


@dataclass(frozen=True)
class ServerClock(SystemClock):
    """This machine's clock, set to the server's: leases of several machines are compared.

    Attributes:
        ahead: seconds by which the server's clock was ahead when it was read.
    """

    ahead: float

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """Read the server's clock, to within the time that the answer took."""
        here = SystemClock().now()
        (there,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        return cls(float(there) - (here + SystemClock().now()) / 2)

    def now(self) -> float:
        return super().now() + self.ahead
