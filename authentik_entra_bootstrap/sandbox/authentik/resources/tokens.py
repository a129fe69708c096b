"""API tokens and app passwords."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import PermissionDenied, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Choice, Moment, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Slug, Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

TOKEN = "authentik_core.token"
TOKEN_EXPIRES = "goauthentik.io/user/token-expires"
INTENTS = {
    "verification": "Intent Verification",
    "api": "Intent Api",
    "recovery": "Intent Recovery",
    "app_password": "Intent App Password",
}


def check_token(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
    """Owner, intent and end of a token.

    :raises ValidationError: for intents that people cannot ask for, and for an app password that lives
        longer than the half hour which stands for no setting at all.
    """
    if instance is None:
        if ctx.user is not None:
            values.setdefault("user", ctx.user["pk"])
        if "user" not in values:
            raise ValidationError("Missing user")
    intent = values.setdefault("intent", instance["intent"] if instance else "api")
    if intent not in {"api", "app_password"}:
        raise ValidationError({"intent": [f"Invalid intent {intent}"]})
    latest = ctx.state.now() + timedelta(minutes=30)
    if intent == "api":
        values["expires"] = latest
    elif values.get("expires") and values["expires"] > latest:
        text = f"Token expires exceeds maximum lifetime ({latest.isoformat(' ')} UTC)."
        raise ValidationError({"expires": [text]})


class TokenView(ModelView):
    """The tokens' calls: one's own without any permission."""

    def __init__(self, state: State, model: Model) -> None:
        username = lambda row: state.tables["user"].rows[row["user"]]["username"]  # noqa: E731
        super().__init__(
            state,
            "core/tokens",
            model,
            lookup="identifier",
            lookup_name="identifier",
            owner="user",
            create_free=True,
            filters={
                "identifier": listing.exact("identifier"),
                "intent": listing.one_of("intent", lambda _: list(INTENTS)),
                "user__username": listing.exact("", value_of=username),
                "description": listing.exact("description"),
                "expires": listing.moment("expires"),
                "expiring": listing.flag("expiring"),
                "managed": listing.exact("managed"),
            },
            search=["identifier", "description", "intent"],
            ordering=["identifier", "expires"],
            used_by=common.nobody,
            actions=[
                Action(
                    "view_key",
                    "GET",
                    self.view_key,
                    doc="Return token key and log access",
                    detail=True,
                    response={"$ref": "#/components/schemas/TokenView"},
                ),
                Action(
                    "set_key",
                    "POST",
                    self.set_key,
                    doc="Set token key. Action is logged as event. `authentik_core.set_token_key` permission\nis required.",
                    detail=True,
                    status=204,
                ),
            ],
        )

    def perform_create(self, values: dict[str, Any], ctx: Context) -> Record:
        """Ordinary users make tokens for themselves only."""
        if ctx.user is not None and not self.rights(ctx).superuser:
            values["user"] = ctx.user["pk"]
            values["expiring"] = ctx.user["attributes"].get(TOKEN_EXPIRES, True)
        return super().perform_create(values, ctx)

    def _own(self, ctx: Context, permission: str) -> Record:
        record = self.get_object(ctx, "GET")
        owner = ctx.user is not None and record["user"] == ctx.user["pk"]
        if not owner and not self.rights(ctx).has(permission, record["pk"]):
            raise PermissionDenied
        return record

    def view_key(self, ctx: Context) -> Reply:
        """The token's text; looking is audited."""
        record = self._own(ctx, "authentik_core.view_token_key")
        shown = {"secret": audit.show_model(self.model, record)}
        audit.write(ctx, "secret_view", shown, app="authentik.core.api.tokens")
        return Reply({"key": record["key"]})

    def set_key(self, ctx: Context) -> Reply:
        """A text of one's own choice."""
        record = self._own(ctx, "authentik_core.set_token_key")
        data = ctx.request.data if ctx.request else None
        key = Serializer("TokenSetKey", {"key": Text()}).validate(data, ctx)["key"]
        before = dict(record)
        record["key"] = str(key)
        self.model.touch(record, before, ctx)
        return Reply(status=204)


def token_model(state: State) -> Model:
    """The token's model."""
    shown = state.models[people.USER].serializer
    serializer = Serializer(
        "Token",
        {
            "pk": Uuid(read_only=True, label="Token uuid"),
            "managed": common.managed_field(),
            "identifier": Slug(
                max_length=255, unique="Token with this identifier already exists.", unique_table="token"
            ),
            "intent": Choice(choices=INTENTS, enum="IntentEnum", default="api"),
            "user": Related(table="user", integer=True, required=False),
            "user_obj": Nested(
                serializer=lambda: shown, get=lambda record, ctx: ctx.state.tables["user"].get(record["user"])
            ),
            "description": Text(blank=True, default=""),
            "expires": Moment(null=True, default=None),
            "expiring": Boolean(default=True),
        },
        check=check_token,
    )
    return Model(
        state=state,
        label=TOKEN,
        class_name="Token",
        table_name="token",
        serializer=serializer,
        verbose_name="Token",
        title=lambda record: f"Token {record['identifier']} (expires={record['expires']})",
        hidden=frozenset({"key"}),
        extra={"key": state.key},
    )
