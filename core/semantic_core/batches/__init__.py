"""Batch jobs: submitting, recovering, polling, applying and cleaning, under one manager."""

from semantic_core.batches.config import BatchConfig
from semantic_core.batches.manager import BatchManager
from semantic_core.batches.watch import Watch, WatchOptions, WatchRound

__all__ = ["BatchConfig", "BatchManager", "Watch", "WatchOptions", "WatchRound"]
