"""One SQLite database: where it is, its connections, its transactions, its errors."""

from semantic_core.database.sets import IDS as IDS
from semantic_core.database.sets import LOCKED as LOCKED
from semantic_core.database.sets import among as among
from semantic_core.database.sets import id_set as id_set
from semantic_core.database.sets import row_set as row_set
from semantic_core.database.sets import rows_of as rows_of
from semantic_core.database.sqlite.connection import any_text as any_text
from semantic_core.database.sqlite.database import DEFAULT_BUSY_TIMEOUT as DEFAULT_BUSY_TIMEOUT
from semantic_core.database.sqlite.database import PAGE_SIZE as PAGE_SIZE
from semantic_core.database.sqlite.database import Database as Database
from semantic_core.database.sqlite.scratch import Scratch as Scratch
from semantic_core.database.sqlite.targets import open_to_others as open_to_others
from semantic_core.database.sqlite.targets import tighten as tighten
