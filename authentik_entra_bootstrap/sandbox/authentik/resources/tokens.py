"""API tokens and app passwords."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources.accounts import TOKEN, TOKEN_EXPIRES, USER
from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.context import grant
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Boolean,
    Choice,
    Moment,
    Text,
    Uuid,
    ref,
    slug,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested, Related, row_of
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

VIEW_KEY = "authentik_core.view_token_key"
INTENTS = ("verification", "api", "recovery", "app_password")


def check_token(values: dict[str, Any], _instance: Record | None, ctx: Context) -> None:
    """Owner, intent and end of a token.

    :raises ValidationError: for intents that people cannot ask for, and for an app password that lives
        longer than half an hour, authentik's limit where none is set.
    """
    if ctx.user is not None and not ctx.blueprint:
        values.setdefault("user", ctx.user["pk"])  # on updates as well: what is left out becomes the caller's
    for name in ("user", "intent"):
        if name not in values and (ctx.blueprint or name == "user"):
            raise ValidationError(f"Missing {name}")
    intent = values.setdefault("intent", "api")
    if intent not in {"api", "app_password"}:
        raise ValidationError({"intent": f"Invalid intent {intent}"})
    latest = ctx.state.now() + timedelta(minutes=30)
    if intent == "api":
        values["expires"] = latest
    elif values.get("expires") and values["expires"] > latest:
        text = f"Token expires exceeds maximum lifetime ({latest.isoformat(' ')} UTC)."
        raise ValidationError({"expires": text})


def same_owner(value: Any, instance: Record | None, _ctx: Context) -> None:
    """Refuse another owner.

    :raises ValidationError: for one.
    """
    if instance is not None and value != instance["user"]:
        raise ValidationError("User cannot be changed")


class TokenView(ModelView):
    """The tokens' calls: one's own without any permission, but for the keys."""

    def perform_create(self, values: dict[str, Any], ctx: Context) -> Record:
        """Ordinary users make tokens for themselves only, and may see the keys of those."""
        if ctx.user is None or ctx.rights.superuser:
            return super().perform_create(values, ctx)
        values["user"] = ctx.user["pk"]
        values["expiring"] = ctx.user["attributes"].get(TOKEN_EXPIRES, True)
        record = super().perform_create(values, ctx)
        grant(ctx.state, ctx.user, [VIEW_KEY], record["pk"])
        return record

    def view_key(self, ctx: Context) -> Reply:
        """The token's text; looking is audited."""
        record = self.get_object(ctx, "GET")
        ctx.rights.need(VIEW_KEY, record["pk"])
        shown = {"secret": audit.show_model(self.model, record)}
        audit.write(ctx, "secret_view", shown, app="authentik.core.api.tokens")
        return Reply({"key": record["key"]})


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    serializer = Serializer(
        "Token",
        {
            "pk": Uuid(read_only=True),
            "managed": Text(
                null=True,
                default=None,
                unique=("token", "Token with this Managed by authentik already exists."),
            ),
            "identifier": slug(
                max_length=255, unique=("token", "Token with this identifier already exists.")
            ),
            "intent": Choice(choices=INTENTS, enum="IntentEnum", default="api"),
            "user": Related(table="user", integer=True, required=False, validators=[same_owner]),
            "user_obj": Nested(serializer=state.models[USER].serializer, get=row_of("user")),
            "description": Text(blank=True, default=""),
            "expires": Moment(null=True, default=None),
            "expiring": Boolean(default=True),
        },
        check=check_token,
    )
    model = Model(
        state=state,
        label=TOKEN,
        serializer=serializer,
        title=lambda record: (
            f"{record['identifier']}" + (f" (expires={record['expires']})" if record["expiring"] else "")
        ),
        hidden=frozenset({"key"}),
        extra={"key": state.key},
    )
    view = TokenView(
        path="core/tokens",
        model=model,
        lookup="identifier",
        lookup_name="identifier",
        owner="user",
        create_free=True,
        filters={
            **filters.exact("identifier", "description", "managed"),
            "intent": filters.one_of("intent", INTENTS, last=True),
            "user__username": filters.equal(lambda row: state.tables["user"].rows[row["user"]]["username"]),
            "expiring": filters.flag("expiring"),
        },
        search=["identifier", "intent", "description"],
        ordering=["identifier", "expires"],
    )
    view.actions = [
        Action("view_key", "GET", view.view_key, "view_key", detail=True, response=ref("TokenView"))
    ]
    return [view]
