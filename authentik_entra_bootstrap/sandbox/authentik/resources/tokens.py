"""API tokens and app passwords."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Boolean, Choice, Moment, Uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.rbac import grant
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested, Related
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Slug, Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

TOKEN = "authentik_core.token"
VIEW_KEY = "authentik_core.view_token_key"
TOKEN_EXPIRES = "goauthentik.io/user/token-expires"
INTENTS = {
    "verification": "Intent Verification",
    "api": "Intent Api",
    "recovery": "Intent Recovery",
    "app_password": "Intent App Password",
}


def check_token(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:  # noqa: ARG001
    """Owner, intent and end of a token.

    :raises ValidationError: for intents that people cannot ask for, and for an app password that lives
        longer than the half hour which stands for no setting at all.
    """
    if ctx.user is not None and not ctx.blueprint:
        values.setdefault("user", ctx.user["pk"])  # on updates as well: what is left out becomes the caller's
    for name in ("user", "intent"):
        if name not in values and (ctx.blueprint or name == "user"):
            raise ValidationError(f"Missing {name}")
    intent = values.setdefault("intent", "api")
    if intent not in {"api", "app_password"}:
        raise ValidationError({"intent": [f"Invalid intent {intent}"]})
    latest = ctx.state.now() + timedelta(minutes=30)
    if intent == "api":
        values["expires"] = latest
    elif values.get("expires") and values["expires"] > latest:
        text = f"Token expires exceeds maximum lifetime ({latest.isoformat(' ')} UTC)."
        raise ValidationError({"expires": [text]})


@dataclass(kw_only=True)
class Owner(Related):
    """The user whose token it is, once and for all."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Refuse another owner."""
        super().check(value, instance, ctx)
        if instance is not None and value != instance["user"]:
            raise self.fail("User cannot be changed")


def described(record: Record) -> str:
    """The identifier, and the end of a token that has one."""
    end = f" (expires={record['expires']})" if record["expiring"] else ""
    return f"{record['identifier']}{end}"


class TokenView(ModelView):
    """The tokens' calls: one's own without any permission, but for the keys."""

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
                "intent": listing.choice("intent", lambda _: list(INTENTS)),
                "user__username": listing.exact("", value_of=username),
                "description": listing.exact("description"),
                "expires": listing.moment("expires"),
                "expiring": listing.flag("expiring"),
                "managed": listing.exact("managed"),
            },
            search=["identifier", "intent", username, "description"],
            ordering=["identifier", "expires"],
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
        """Ordinary users make tokens for themselves only, and may see the keys of those."""
        if ctx.user is None or self.rights(ctx).superuser:
            return super().perform_create(values, ctx)
        values["user"] = ctx.user["pk"]
        values["expiring"] = ctx.user["attributes"].get(TOKEN_EXPIRES, True)
        record = super().perform_create(values, ctx)
        grant(ctx.state, ctx.user, [VIEW_KEY], record["pk"])
        return record

    def view_key(self, ctx: Context) -> Reply:
        """The token's text; looking is audited."""
        record = self.get_object(ctx, "GET")
        self.rights(ctx).need(VIEW_KEY, record["pk"])
        shown = {"secret": audit.show_model(self.model, record)}
        audit.write(ctx, "secret_view", shown, app="authentik.core.api.tokens")
        return Reply({"key": record["key"]})

    def set_key(self, ctx: Context) -> Reply:
        """A text of one's own choice."""
        record = self.get_object(ctx, "GET")
        self.rights(ctx).need("authentik_core.set_token_key", record["pk"])
        data = ctx.request.data if ctx.request else None
        key = Serializer("TokenSetKey", {"key": Text()}).validate(data, ctx)["key"]
        before = dict(record)
        record["key"] = str(key)
        self.model.touch(record, before, ctx)
        shown = {"model": audit.show_model(self.model, record)}
        audit.write(ctx, "model_updated", shown, app="authentik.core.api.tokens")
        return Reply(status=204)


def token_model(state: State) -> Model:
    """The token's model."""
    shown = state.models[people.USER].serializer
    serializer = Serializer(
        "Token",
        {
            "pk": Uuid(read_only=True, label="Token uuid"),
            "managed": common.managed_field("Token", "token"),
            "identifier": Slug(
                max_length=255, unique="Token with this identifier already exists.", unique_table="token"
            ),
            "intent": Choice(choices=INTENTS, enum="IntentEnum", default="api"),
            "user": Owner(table="user", integer=True, required=False),
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
        title=described,
        hidden=frozenset({"key"}),
        extra={"key": state.key},
    )
