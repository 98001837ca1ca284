"""Find what is wrong with a database and its jobs, and fix what can be fixed safely."""

from semantic_core.doctor.examine import examine
from semantic_core.doctor.findings import Examination, Finding, Trouble

__all__ = ["Examination", "Finding", "Trouble", "examine"]
