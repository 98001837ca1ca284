from typing import Annotated

import typer

from semantic_core.cli.options import DEFAULT_DB, AsJson, AttachedTargets, Db, open_manager
from semantic_core.cli.output import FAILED, print_json, say
from semantic_core.views.sentences import target_state


def targets(
    db: Db = DEFAULT_DB,
    forget: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Note nothing more for this one; what it holds stays."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the vector stores that vectors are delivered to, and what each lacks. Needs no key."""
    with open_manager(db) as manager:
        if forget is not None:
            manager.store.delivery.forget(forget)
        found = manager.store.delivery.targets()
    if as_json:
        print_json({"targets": found})
    else:
        say(*(map(target_state, found) if found else ["Nothing is delivered elsewhere."]))


def deliver(
    db: Db = DEFAULT_DB,
    target: AttachedTargets = None,
    again: Annotated[
        bool, typer.Option(help="Deliver everything anew, each chunk deleted there first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell vector stores what they lack. Safe to run at any time. Needs no key, costs nothing."""
    with open_manager(db, targets=target) as manager:
        delivery = manager.store.delivery
        attached = {one.name for one in delivery.attached}
        if not target:
            raise typer.BadParameter("name what builds the store.", param_hint="--target")
        for name in attached if again else ():
            delivery.redeliver(name)
        found = [status for status in manager.deliver() if status.name in attached]
    if as_json:
        print_json({"targets": found})
    else:
        say(*map(target_state, found))
    if not found or any(status.last_error for status in found):
        raise typer.Exit(FAILED)
