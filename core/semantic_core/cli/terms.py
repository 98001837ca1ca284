import re

_TERMS = {
    r"pass overwrite=True": "add --overwrite",
    r"release\(batch_id, accept_rebilling=True\), or (?=semcore release)": "",
    r"release\(batch_id, accept_rebilling=True\)": "semcore release JOB --accept-rebilling",
    r", or call sync_status\(\)": "",
    r"Call (?:wait\(\) or )?sync_status\(\)": "Run semcore sync",
    r"call (?:wait\(\) or )?sync_status\(\)": "run semcore sync",
    r"sync_status\(\)": "semcore sync",
    r"Pass GoogleKeyring\(\w+=\.\.\.\) or set": "Set",
    r"store\.reindex\(name, languages=\.\.\.\) or (?=semcore reindex)": "",
    r" \(pass BatchConfig\(prices=\.\.\.\) to have it there\)": "",
    r"Pass BatchConfig\(prices=\.\.\.\) with its price, or lift": "Lift",
    r"Open it without a spec to use it as it is, or choose another collection:": (
        "Leave out what makes a collection to use it as it is, or name another with --collection:"
    ),
    r"min_size=": "--min-size ",
    r"max_cost=": "--max-cost ",
    r"monthly_budget_usd=": "--monthly-budget ",
    r"Saving into one creates it, and so does store\.collection\(name\)": "semcore ingest --new makes one",
}
_ANY = re.compile("|".join(f"({pattern})" for pattern in _TERMS))
_WORDS = tuple(_TERMS.values())


def in_terminal(text: str) -> str:
    """Return an error or a reason as the terminal says it."""
    return _ANY.sub(lambda found: _WORDS[(found.lastindex or 1) - 1], text)
