"""A report, read as HTML and looked at in a real browser: by day and night, on a phone, read aloud."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from batch_emulator import EndJob, FailLines, FaultRule, Lines
from semantic_core import BatchConfig
from semantic_core.batches.overview import look_over
from semantic_core.domain.types import Chunk, TargetStatus
from semantic_core.views.report import MARK, Overview, report_page
from support.browser import Browser, Screen, open_browser
from support.html import read_html
from support.world import open_world

EVIL = (
    '"><img src=x onerror=document.title=1><script>document.title=1</script>'
    "<style>*{display:none}</style></table></main>&lt;b\u202egnp " + "long" * 200
)
MONTH = 31 * 86_400.0


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    """A busy database: three months, two collections, a held job, failures, a used-up budget."""
    with open_world(tmp_path_factory.mktemp("busy")) as world:
        manager = world.manager()
        rude = FailLines(code=400, message="too rude", lines=Lines(containing="rude"))
        world.emulator.add_fault(FaultRule(effect=rude, times=None))
        for number in range(3):
            world.store.save([Chunk(id=f"n{number}", text=f"note {number}", document_id="a note")])
            world.store.save([Chunk(text=f"rude mail {number}")], collection="mails")
            manager.flush_queue()
            manager.sync_status()
            world.clock.advance(MONTH)
        world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
        world.save("held")
        manager.flush_queue()
        manager.sync_status()
        world.save("held", "this is too dear")
        poor = world.manager(config=BatchConfig(monthly_budget_usd=1e-9))
        assert poor.drain_queue() == []
        found = look_over(poor)
    target = TargetStatus(name="docs", kind="a store", collection="x", last_error="it is down")
    stats = dataclasses.replace(found.stats, targets=(target,), cautions=("a caution",))
    return dataclasses.replace(found, stats=stats)


def poisoned(value: Any) -> Any:
    """Return a value with hostile text for every text in it."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return EVIL
    if isinstance(value, tuple):
        return tuple(map(poisoned, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        fresh = {name: poisoned(getattr(value, name)) for name in names}
        return dataclasses.replace(value, **fresh)
    return value


@pytest.fixture(scope="module")
def evil(overview: Overview) -> Overview:
    found: Overview = poisoned(overview)
    return found


# --- as HTML -----------------------------------------------------------------------------


def test_it_says_what_is_stuck_and_what_to_do(overview: Overview) -> None:
    text = read_html(report_page(overview)).text
    for words in (
        "1 job held, until somebody decides.",
        "3 chunks failed.",
        "default (gemini-embedding-001): The budget is used up: the next batch job would pass",
        "Target docs (a store), of x: 0 chunks to tell. it is down",
        "a caution",
        "38% of 8 chunks found by vector, the others by keyword.",
        "waiting 1",
        f"To give it up: semcore release {overview.stats.held_jobs[0].id[:8]} --accept-rebilling",
        "in 2027-04 so far, with what still runs by estimate; the budget is <$0.0001.",
        *("2027-01", "2027-02", "2027-03", "400: too rude"),
        f"semcore retry --db {overview.database}",
    ):
        assert words in text, words


def test_where_nothing_is_stuck_it_says_so(tmp_path: Path) -> None:
    with open_world(tmp_path) as world:
        text = read_html(report_page(look_over(world.manager()))).text
        assert "Nothing is stuck, and nothing waits." in text
        assert "There is no chunk yet." in text
        assert "No batch job was sent yet." in text
        world.save("one")
        assert "goes with the next flush" in report_page(look_over(world.manager()))
        world.clock.advance(90_000)
        assert "no flush sends them: does one run?" in report_page(look_over(world.manager()))
        world.manager().flush_queue()
        text = report_page(look_over(world.manager()))
        assert "Nothing is stuck. 1 job under way." in text
        assert "The provider has it: the next sync asks for it." in text
        world.clock.advance(100 * 3600)
        assert "which is long" in report_page(look_over(world.manager()))


def test_hostile_text_in_every_field_is_text(overview: Overview, evil: Overview) -> None:
    expected, page = read_html(report_page(overview)), read_html(report_page(evil))
    assert page.tags == expected.tags
    assert page.attributes == expected.attributes
    assert not page.tags & {"script", "img", "link", "iframe", "object", "base", "form"}
    # Whatever is shown from outside is shown whole, or cut with a sign of it.
    assert page.text.count('"><img src=x') > 10


def test_it_loads_nothing(overview: Overview) -> None:
    page = report_page(overview)
    assert page.startswith(MARK)
    assert "default-src 'none'" in page
    for name in ("url(", "src=", "href=", "http:", "https:", "@import", "<script"):
        assert name not in page


# --- in a browser ------------------------------------------------------------------------

SCREENS = {
    "light": Screen(1280),
    "dark": Screen(1280, is_dark=True),
    "phone": Screen(360, 800),
    "dark phone": Screen(360, 800, is_dark=True),
}

# The least contrast of any text with the page behind it, as WCAG 2.2 computes it (1.4.3).
CONTRAST = """
(() => {
  const light = parts => parts.slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const colour = (element, name) => getComputedStyle(element)[name].match(/[\\d.]+/g).map(Number);
  const behind = colour(document.body, "backgroundColor");
  let least = 21;
  for (const element of document.body.querySelectorAll("*")) {
    if (![...element.childNodes].some(node => node.nodeType == 3 && node.data.trim())) continue;
    let opacity = 1;
    for (let one = element; one; one = one.parentElement) opacity *= getComputedStyle(one).opacity;
    const text = colour(element, "color").map((part, n) => part * opacity + behind[n] * (1 - opacity));
    const [low, high] = [light(text), light(behind)].sort((a, b) => a - b);
    least = Math.min(least, (high + 0.05) / (low + 0.05));
  }
  return least;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory, overview: Overview, evil: Overview
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {name: folder / f"{name}.html" for name in ("plain", "evil")}
    made["plain"].write_text(report_page(overview), encoding="utf-8")
    made["evil"].write_text(report_page(evil), encoding="utf-8")
    return made


@pytest.mark.parametrize("name", ["plain", "evil"])
@pytest.mark.parametrize("screen", SCREENS.values(), ids=SCREENS)
def test_it_can_be_read_on_every_screen(
    browser: Browser, pages: dict[str, Path], screen: Screen, name: str
) -> None:
    browser.show(pages[name], screen)
    width = browser.value("document.documentElement.scrollWidth")
    assert width <= screen.width, f"it scrolls sideways: {width} px"
    assert browser.value(CONTRAST) >= 4.5
    dark = browser.value("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == screen.is_dark
    assert browser.requested == [pages[name].as_uri()]
    assert browser.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize("screen", [SCREENS["light"], SCREENS["phone"]], ids=["desk", "phone"])
def test_a_screen_reader_is_told_of_headings_and_tables(
    browser: Browser, pages: dict[str, Path], screen: Screen
) -> None:
    browser.show(pages["plain"], screen)
    roles = browser.roles()
    headings = [name for role, name in roles if role == "heading"]
    assert headings[0].startswith("semcore: ")
    assert headings[1:] == ["Coverage", "Queue", "Batch jobs", "Money", "Failures"]
    tables = [name for role, name in roles if role == "table"]
    assert tables == ["Open", "Ended, the last first", "By month (UTC)", "Why they failed"]
    columns = [name for role, name in roles if role == "columnheader"]
    assert columns[:2] == ["job", "status"]
    assert ("main", "") in roles
    assert any(role == "image" and "38% of 8 chunks" in name for role, name in roles)
    assert any(role == "meter" and name.startswith("2027-03: ") for role, name in roles)
    assert browser.value("document.documentElement.lang") == "en"


def test_nothing_of_a_hostile_text_runs(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["evil"], SCREENS["light"], has_scripts=True)
    assert browser.value("document.title").startswith("semcore: ")
    assert browser.value("document.images.length + document.scripts.length") == 0
    assert browser.value("document.querySelectorAll('main').length") == 1
    assert browser.value("getComputedStyle(document.querySelector('h1')).display") == "block"


def test_the_browser_would_notice(browser: Browser, tmp_path: Path) -> None:
    """A page that does all that a report must not."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><p style="width:400px;color:#999">pale</p>'
        '<img src="no.png"><script>document.title = "run"</script>'
    )
    browser.show(page, SCREENS["phone"], has_scripts=True)
    assert browser.value("document.documentElement.scrollWidth") > 360
    assert browser.value(CONTRAST) < 4.5
    assert browser.value("document.title") == "run"
    assert len(browser.requested) == 2
