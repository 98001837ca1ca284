"""A local server that speaks the part of Google's Gemini API which semcore uses.

The unmodified google-genai SDK works against it: resumable file uploads, embedding batches from
a file, live embedding. It embeds deterministically, keeps everything in one state file that
survives kill -9, validates as strictly as Google, keeps a billing ledger, and lets things go
wrong by rule::

    with Emulator("emulator.db") as emulator:
        emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop(after=True)))
        client = genai.Client(
            api_key="any", http_options={"base_url": emulator.url, "api_version": "v1beta"}
        )
        ...
        assert not emulator.ledger.overbilled()

It needs ``pip install "semcore[emulator]"`` and listens on the loopback address only.
"""

from batch_emulator.config import MODELS, EmulatorConfig, ModelInfo
from batch_emulator.effects import (
    Bomb,
    CutDownload,
    CutResult,
    CutUpload,
    Damage,
    DamageLines,
    Delay,
    Drop,
    EndJob,
    FailLines,
    Garbage,
    HideJob,
    Lines,
    Misdate,
    Redirect,
    Relabel,
    ReplaceLines,
    Reply,
    SkipLines,
    StickJob,
    SwapResults,
)
from batch_emulator.embedding import count_tokens, fake_embed
from batch_emulator.errors import (
    EmulatorError,
    InvalidRuleError,
    MissingModelError,
    MissingServerError,
)
from batch_emulator.faults import FaultRule
from batch_emulator.journal import LoggedRequest, Operation, Violation, ViolationKind
from batch_emulator.ledger import Ledger, LedgerEntry, TextKey, text_sha256
from batch_emulator.sentences import SentenceModel
from batch_emulator.server import EmulatedJob, Emulator

__all__ = [
    "MODELS",
    "Bomb",
    "CutDownload",
    "CutResult",
    "CutUpload",
    "Damage",
    "DamageLines",
    "Delay",
    "Drop",
    "EmulatedJob",
    "Emulator",
    "EmulatorConfig",
    "EmulatorError",
    "EndJob",
    "FailLines",
    "FaultRule",
    "Garbage",
    "HideJob",
    "InvalidRuleError",
    "Ledger",
    "LedgerEntry",
    "Lines",
    "LoggedRequest",
    "Misdate",
    "MissingModelError",
    "MissingServerError",
    "ModelInfo",
    "Operation",
    "Redirect",
    "Relabel",
    "ReplaceLines",
    "Reply",
    "SentenceModel",
    "SkipLines",
    "StickJob",
    "SwapResults",
    "TextKey",
    "Violation",
    "ViolationKind",
    "count_tokens",
    "fake_embed",
    "text_sha256",
]
