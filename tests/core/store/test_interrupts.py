"""An interrupt of one thread hangs no other, loses nothing, and is never swallowed."""

from __future__ import annotations

from pathlib import Path

from support.processes import Python

_STORM = """
    import gc
    import itertools
    import threading
    import time
    from semantic_core import Chunk, EmbeddingSpec, PeeweeVectorStore
    from support.signals import interrupts

    folder, times = hear(), int(hear())
    vectors = [[float(n % 7 + 1), float(n % 11), 1.0, float(n % 5)] for n in range(300)]
    store = PeeweeVectorStore(folder + "/notes.db")
    store.collection(spec=EmbeddingSpec.external("own", dimensions=4))
    store.save([Chunk(id=str(n), text=f"text {n}", vector=vectors[n]) for n in range(300)])

    def find():
        assert len(store.search(text="text", vector=vectors[3], limit=5)) == 5

    rounds = {"find": 0, "save": 0}
    faults = []

    def go_on(name, action):
        while True:
            try:
                action()
            except Exception as fault:
                faults.append(repr(fault))
            rounds[name] += 1
            time.sleep(0.001)

    numbers = itertools.count()

    def save_one():
        number = next(numbers)
        store.save([Chunk(id=f"other {number % 50}", text="text", vector=vectors[number % 300])])

    for name, action in (("find", find), ("save", save_one)):
        threading.Thread(target=go_on, args=(name, action), daemon=True).start()

    mine = itertools.count()
    accepted = []
    stale = 0

    def work():
        global stale
        number = next(mine)
        if number % 5:
            find()
            return
        chunk = Chunk(id=f"mine {number}", text=f"text mine {number}", vector=vectors[number % 300])
        store.save([chunk])
        accepted.append(chunk.id)
        # What was saved is found at once, whatever an interrupt left behind.
        stale += not store.search(text=f"mine {number}", mode="keyword", limit=1)

    kept = None
    for interrupt in interrupts(work, times):
        kept = interrupt  # as Jupyter keeps the last one, with all that it refers to
    before = dict(rounds)
    deadline = time.monotonic() + 300
    while any(rounds[name] < before[name] + 3 for name in rounds) and time.monotonic() < deadline:
        time.sleep(0.01)
    go_on = [name for name in rounds if rounds[name] >= before[name] + 3]
    missing = set(accepted) - {chunk.id for chunk in store.get(accepted)}
    say(f"{go_on} go on, {faults[:1]} failed, {len(missing)} missing, {stale} stale")
"""


def test_interrupts_beside_other_threads(python: Python, tmp_path: Path) -> None:
    """Each keeps its traceback, and so whatever an exit that was lost would have let go of."""
    child = python(_STORM)
    child.say(str(tmp_path))
    child.say("600")
    assert child.hear() == "['find', 'save'] go on, [] failed, 0 missing, 0 stale"
    child.end()
