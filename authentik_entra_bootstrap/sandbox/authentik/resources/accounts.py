"""Rules about single fields of users and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Choice
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import Rights

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record

INTERNAL_ACCOUNT = "internal_service_account"


@dataclass(kw_only=True)
class UserType(Choice):
    """The kind of a user; authentik keeps one of them to itself."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """An internal service account is neither made nor changed into anything else."""
        super().check(value, instance, ctx)
        if instance and instance["type"] == INTERNAL_ACCOUNT != value:
            raise self.fail("Can't change internal service account to other user type.")
        if not instance and value == INTERNAL_ACCOUNT and not ctx.blueprint:
            raise self.fail("Setting a user to internal service account is not allowed.")


@dataclass(kw_only=True)
class SuperuserFlag(Boolean):
    """Whether a group makes superusers; a change takes a permission of its own, one for each direction."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Refuse a change to callers without the permission; a new group without the flag is none."""
        super().check(value, instance, ctx)
        if ctx.request is None or value is (instance["is_superuser"] if instance else False):
            return
        permission = f"authentik_core.{'enable' if value else 'disable'}_group_superuser"
        if not Rights(ctx.state, ctx.user).has(permission, instance["pk"] if instance else None):
            raise self.fail(f"User does not have permission to set superuser status to {value}.")


def no_internal_account(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:  # noqa: ARG001
    """Leave the accounts of outposts alone.

    :raises ValidationError: for every change of one.
    """
    if instance and instance["type"] == INTERNAL_ACCOUNT:
        raise ValidationError("Can't modify internal service account users")


def sound_path(value: str, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """Refuse empty parts and slashes at the ends.

    :raises ValidationError: for them.
    """
    if value.startswith("/") or value.endswith("/"):
        raise ValidationError("No leading or trailing slashes allowed.")
    if "" in value.split("/"):
        raise ValidationError("No empty segments in user path allowed.")
