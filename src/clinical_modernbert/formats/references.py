"""In: relations and attributes with the ids they name. Out: those whose ids are all there. Next: `brat`, `i2b2_xml`."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

from clinical_modernbert.formats.document import Attribute, Relation
from clinical_modernbert.formats.refusal import OnRefusal, Refusal


def without_dangling(
    items: Sequence[tuple[Callable[[str], Refusal], Relation | Attribute]], known: set[str], on_refusal: OnRefusal
) -> Iterator[Relation | Attribute]:
    """The items that name only ids that are `known`, in their order; one that is refused takes with it those that name it.

    Each item comes with a function that makes a refusal of a reason. `known` holds the ids of all items, too.
    """
    users: dict[str, list[int]] = defaultdict(list)
    for index, (_, item) in enumerate(items):
        for id in item.named():
            users[id].append(index)
    refused: set[int] = set()
    unknown = deque(id for id in users if id not in known)
    while unknown:
        for index in users.get(unknown.popleft(), ()):
            if index not in refused:
                refused.add(index)
                refusal, item = items[index]
                on_refusal(refusal("names an id that is not here"))
                unknown.append(item.id)
    yield from (item for index, (_, item) in enumerate(items) if index not in refused)
