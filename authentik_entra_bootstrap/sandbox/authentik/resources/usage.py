"""What points to an object: the entries of ``used_by``, from relations that each resource declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

Find = Callable[["Record", "State"], Iterable["Record"]]

PROVIDER = "authentik_core.provider"
MAPPING = "authentik_core.propertymapping"
BINDING = "authentik_policies.policybinding"


@dataclass(frozen=True)
class Relation:
    """One of the ways in which others point to an object.

    :param attribute: the relation's name in authentik, whose alphabet orders the entries.
    :param label: the model of what points.
    :param find: the rows that point.
    :param action: what becomes of them when the object is deleted.
    :param title: a row's text; its model's own when left out.
    """

    attribute: str
    label: str
    find: Find
    action: str = "cascade"
    title: Callable[[Record], str] | None = None

    def entries(self, record: Record, state: State) -> list[Record]:
        """The entries of this relation."""
        app, _, model_name = self.label.partition(".")
        model = state.models.get(self.label)
        title = self.title or (model.title if model else str)
        key = model.table.key if model else "pk"
        return [
            {
                "app": app,
                "model_name": model_name,
                "pk": str(row[key]),
                "name": title(row),
                "action": self.action,
            }
            for row in self.find(record, state)
        ]


def used_by(*relations: Relation) -> Callable[[Record, Context], list[Record]]:
    """The entries of all these relations."""
    ordered = sorted(relations, key=lambda relation: relation.attribute)

    def entries(record: Record, ctx: Context) -> list[Record]:
        return [entry for relation in ordered for entry in relation.entries(record, ctx.state)]

    return entries


def pointing(table: str, column: str) -> Find:
    """Rows whose column holds the object's key."""
    return lambda record, state: state.tables[table].where(**{column: key_of(record)})


def listed(table: str, column: str) -> Find:
    """Rows whose keys stand in the object's own list."""
    return lambda record, state: [
        row for key in record[column] if (row := state.tables[table].get(key)) is not None
    ]


def key_of(record: Record) -> object:
    """The object's primary key."""
    return record["pk"]


def background(model_name: str) -> tuple[Relation, Relation]:
    """The schedules and tasks of an object, of a model with this name."""

    def of(table: str) -> Find:
        return lambda record, state: state.tables[table].where(
            rel_obj_model=model_name, rel_obj_id=str(key_of(record))
        )

    return (
        Relation("schedules", "authentik_tasks_schedules.schedule", of("schedule")),
        Relation("tasks", "authentik_tasks.task", of("task")),
    )


def policies_of(record: Record, state: State) -> list[Record]:
    """The policies that are bound to an object."""
    bindings = state.tables["binding"].where(target=key_of(record))
    return [row for one in bindings if (row := state.tables["policy"].get(one["policy"])) is not None]


BOUND_TO_IT = (
    Relation("bindings", BINDING, pointing("binding", "target")),
    Relation(
        "policies", "authentik_policies.policy", policies_of, "cascade_many", lambda row: str(row["name"])
    ),
)

CONNECTIONS = {
    kind: Relation(
        f"microsoftentraprovider{kind}_set",
        f"authentik_providers_microsoft_entra.microsoftentraprovider{kind}",
        pointing(f"entra_{kind}", "provider"),
    )
    for kind in ("group", "user")
}

OF_PROVIDER = used_by(
    *CONNECTIONS.values(),
    Relation("property_mappings", MAPPING, listed("mapping", "property_mappings"), "cascade_many"),
    Relation(
        "property_mappings_group", MAPPING, listed("mapping", "property_mappings_group"), "cascade_many"
    ),
    *background("microsoftentraprovider"),
)
OF_APPLICATION = used_by(
    Relation("backchannel_providers", PROVIDER, pointing("provider", "backchannel_application")),
    *BOUND_TO_IT,
)
