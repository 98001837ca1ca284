"""Take the picture of a report for the documentation: two months of a busy database, in Chromium."""

from __future__ import annotations

import io
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from batch_emulator import EndJob, FailLines, FaultRule, Lines  # noqa: E402
from semantic_core import BatchConfig, Document, SemanticCore, pydoc_topics  # noqa: E402
from semantic_core.batches.overview import look_over  # noqa: E402
from semantic_core.views.report import report_page  # noqa: E402
from support.browser import Screen, open_browser  # noqa: E402
from support.world import World, open_world  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "report.png"
BEGAN = datetime(2026, 9, 18, 8, tzinfo=UTC).timestamp()
HOUR = 3600.0


def fill(world: World) -> str:
    """Ingest and embed for two months, with what goes wrong now and then; return the report."""
    world.clock.advance(BEGAN - world.clock.now())
    manager = world.manager(config=BatchConfig(monthly_budget_usd=0.02, max_tokens=40_000))
    notes = SemanticCore(world.store, world.keyring())
    wiki = SemanticCore(world.store, world.keyring(), collection="wiki")
    unsafe = FailLines(
        code=400, message="The text is not supported.", lines=Lines(containing="lambda")
    )
    world.emulator.add_fault(FaultRule(effect=unsafe, times=None))
    topics = [Document(id=str(one.id), content=one.content) for one in pydoc_topics()]
    for number, topic in enumerate(topics):
        (wiki if number % 3 == 0 else notes).ingest(topic)
        world.clock.advance(12 * HOUR)
        if number == len(topics) // 2:
            world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_EXPIRED")))
        if number == len(topics) - 4:
            world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
        if number % 4 == 3:
            manager.flush_queue(min_size=20)
        if number % 2:
            manager.sync_status()
    manager.sync_status()
    manager.flush_queue(force=True)
    world.clock.advance(HOUR)
    page = report_page(look_over(manager))
    return page.replace(str(world.path), "notes.db")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with open_world(folder, pending_seconds=0.5 * HOUR, running_seconds=HOUR) as opened:
            (folder / "report.html").write_text(fill(opened), encoding="utf-8")
        with open_browser(folder) as browser:
            browser.show(folder / "report.html", Screen(width=960, height=1100))
            picture = Image.open(io.BytesIO(browser.picture(whole=False)))
        # A page has few colours.
        picture.convert("RGB").quantize(256, kmeans=2).save(PICTURE, optimize=True)
