"""Short names for tasks, as people read and type them."""

from __future__ import annotations

from clawbucket.core.model import TASK_ID_LENGTH, short_alias

_SHORTEST_ID = 3
"""Characters of a task's id that may stand for it: fewer would be mistaken for a word."""


def means(which: str, name: str) -> bool:
    """Whether ``which`` names this program or task (``service.slot.id``, by any part that is clear)."""
    service, slot, task_id = split(name)
    if not task_id:
        return which == name
    return (
        which in {name, service, short_alias(service), f"{service}.{slot}", f"{short_alias(service)}.{slot}"}
        or (len(which) >= _SHORTEST_ID and task_id.startswith(which))
        or (
            which.count(".") == 2
            and (name.startswith(which) or label(name, TASK_ID_LENGTH).startswith(which))
        )
    )


def split(name: str) -> tuple[str, str, str]:
    """``service.slot.id`` in its parts; a program's name has no slot and no id."""
    service, _, rest = name.rpartition(".") if "." in name else (name, "", "")
    service, _, slot = service.rpartition(".") if rest else (service, "", "")
    return service, slot, rest


def label(name: str, id_length: int = 6) -> str:
    """A task's name as it is shown: short alias, slot and the beginning of its id."""
    service, slot, task_id = split(name)
    return f"{short_alias(service)}.{slot}.{task_id[:id_length]}" if task_id else name
