from semantic_core.views.wording import counted, moment, money, shorten


def test_money_shows_fractions_of_a_cent_only_below_a_dollar() -> None:
    shown = [money(dollars) for dollars in (1234.5, 1.0, 0.01234, 0.0, None)]
    assert shown == ["$1,234.50", "$1.00", "$0.0123", "$0", "unknown"]


def test_a_loss_is_money_too() -> None:
    assert [money(dollars) for dollars in (-1234.5, -0.00005)] == ["-$1,234.50", "-<$0.0001"]


def test_what_costs_something_is_never_shown_as_nothing() -> None:
    assert [money(dollars) for dollars in (0.00009, 1e-9, 0.0001)] == [
        "<$0.0001",
        "<$0.0001",
        "$0.0001",
    ]


def test_one_has_no_plural() -> None:
    assert [counted(number, "job") for number in (0, 1, 2000)] == ["0 jobs", "1 job", "2,000 jobs"]


def test_moments_are_in_utc() -> None:
    assert moment(1_800_000_000.0) == "2027-01-15 08:00 UTC"
    assert moment(None) == "-"


def test_a_short_text_stays_whole_and_on_one_line() -> None:
    assert shorten(" a\n b\tc ", 5) == "a b c"
    assert shorten("abcdef", 5) == "abcd…"
