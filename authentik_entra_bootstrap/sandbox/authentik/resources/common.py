"""Pieces that several resources share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Choice, Field, Plain
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
    from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Check
    from authentik_entra_bootstrap.sandbox.authentik.state import Record

STRING: dict[str, Any] = {"type": "string"}
NULLABLE_STRING: dict[str, Any] = {"type": "string", "nullable": True}
OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": {}}


class Membership(Protocol):
    """Makes one user a member, or takes that back."""

    def __call__(self, ctx: Context, *, member: bool) -> Reply: ...  # noqa: D102


def member_actions(of: str, call: Membership) -> list[Action]:
    """The two calls by which a group or a role gets and loses one user.

    :param of: ``group`` or ``role``.
    """

    def action(name: str, doc: str, *, member: bool) -> Action:
        handler = partial(call, member=member)
        return Action(name, "POST", handler, detail=True, status=204, doc=doc)

    return [
        action("add_user", f"Add user to {of}", member=True),
        action("remove_user", f"Remove user from {of}", member=False),
    ]


def together(table: str, names: Sequence[str]) -> Check:
    """A check that no two rows have the same values in all of these columns; empty ones are never the same."""
    text = f"The fields {', '.join(names)} must make a unique set."

    def check(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
        wanted = {name: values.get(name, instance[name] if instance else None) for name in names}
        if None in wanted.values():
            return
        rows = ctx.state.tables[table]
        if any(instance is None or row[rows.key] != instance[rows.key] for row in rows.where(**wanted)):
            raise ValidationError(text, "unique")

    return check


def text_of(value: str) -> Callable[[Record, Context], str]:
    """A getter that always answers the same text."""

    def read(record: Record, ctx: Context) -> str:  # noqa: ARG001
        return value

    return read


def meta_fields(component: str, verbose: str, plural: str, label: str) -> dict[str, Field | None]:
    """The four read-only fields that describe an object's kind."""
    return {
        "component": Plain(shape=STRING, get=text_of(component)),
        "verbose_name": Plain(shape=STRING, get=text_of(verbose)),
        "verbose_name_plural": Plain(shape=STRING, get=text_of(plural)),
        "meta_model_name": Plain(shape=STRING, get=text_of(label)),
    }


def managed_field(kind: str, table: str) -> Text:
    """Name under which migrations manage the object.

    :param kind: what the object is called in the refusal of a name that is taken.
    """
    return Text(
        unique=f"{kind} with this Managed by authentik already exists.",
        unique_table=table,
        null=True,
        default=None,
        label="Managed by authentik",
    )


def choices(names: Sequence[str]) -> dict[str, str]:
    """Values with their display texts, ``do_nothing`` as ``Do Nothing``."""
    return {name: name.replace("_", " ").title() for name in names}


def choice(names: Sequence[str], enum: str, default: str, **options: Any) -> Choice:
    """A choice with a default."""
    return Choice(choices=choices(names), enum=enum, default=default, **options)
