"""Policies of two kinds, and what binds one, a group or a user to an application or a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.resources import common, people
from authentik_entra_bootstrap.sandbox.authentik.resources.mappings import Expression
from authentik_entra_bootstrap.sandbox.authentik.resources.trail import actions_of
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ErrorDetail, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    MAX_INT,
    Boolean,
    Choice,
    Field,
    Integer,
    Moment,
    Plain,
    Uuid,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.relations import Nested, Related, read_uuid
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Address, Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State


MATCHER = "authentik_policies_event_matcher.eventmatcherpolicy"
EXPRESSION = "authentik_policies_expression.expressionpolicy"
BINDING = "authentik_policies.policybinding"


def of_authentik(value: Any, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """Refuse what cannot be one of authentik's own apps; the real list has some eighty of them.

    :raises ValidationError: as for any choice that there is not.
    """
    if value and not value.startswith("authentik."):
        raise ValidationError([ErrorDetail(f'"{value}" is not a valid choice.', "invalid_choice")])


def expression_model(state: State) -> Model:
    """The policy that evaluates an expression."""
    return one_kind(
        state,
        EXPRESSION,
        "ExpressionPolicy",
        ("Expression Policy", "Expression Policies"),
        "ak-policy-expression-form",
        {"expression": Expression()},
        lambda record: "expression" in record,
    )


def one_kind(
    state: State,
    label: str,
    class_name: str,
    verbose: tuple[str, str],
    component: str,
    own: Mapping[str, Field | None],
    fits: Callable[[Record], bool],
) -> Model:
    """One kind of policy; all kinds stand in one table.

    :param verbose: its name, and that of several.
    :param component: its form in the browser.
    :param own: the fields that other kinds do not have.
    :param fits: whether a row is of this kind.
    """
    fields = {
        "pk": Uuid(read_only=True, label="Policy uuid"),
        "name": Text(unique="Policy with this name already exists.", unique_table="policy"),
        "execution_logging": Boolean(default=False),
        **common.meta_fields(component, *verbose, label),
        "bound_to": bound_to(),
        **own,
    }
    return Model(
        state=state,
        label=label,
        class_name=class_name,
        table_name="policy",
        serializer=Serializer(class_name, fields),
        verbose_name=verbose[0],
        verbose_name_plural=verbose[1],
        fits=fits,
        extra={"created": state.now, "last_updated": state.now},
        deleting=forget_bindings("policy"),
    )


def forget_bindings(column: str) -> Callable[[Record, Context], None]:
    """A hook by which bindings go with what they name in a column."""

    def deleting(record: Record, ctx: Context) -> None:
        bindings = ctx.state.tables["binding"]
        for binding in bindings.where(**{column: record["pk"]}):
            bindings.remove(binding["pk"])

    return deleting


def bound_to() -> Plain:
    """How many bindings a policy has."""
    return Plain(
        shape={"type": "integer"},
        get=lambda record, ctx: len(ctx.state.tables["binding"].where(policy=record["pk"])),
    )


def policy_model(state: State) -> Model:
    """The policy that matches events."""
    choice = {"null": True, "default": None, "blank": True}
    return one_kind(
        state,
        MATCHER,
        "EventMatcherPolicy",
        ("Event Matcher Policy", "Event Matcher Policies"),
        "ak-policy-event-matcher-form",
        {
            "action": Choice(choices=actions_of(state), enum="EventActions", **choice),  # type: ignore[arg-type]
            "client_ip": Address(null=True, default=None),
            "app": Text(validators=[of_authentik], **choice),  # type: ignore[arg-type]
            "model": Text(**choice),  # type: ignore[arg-type]
            "query": Text(null=True, default=None) if state.profile.at_least("2026.5") else None,
        },
        lambda record: "expression" not in record,
    )


def base_policy(state: State) -> Serializer:
    """Any policy, as a binding shows it."""
    fields = policy_model(state).serializer.fields
    own = {"action", "client_ip", "app", "model", "query"}
    return Serializer("Policy", {name: field for name, field in fields.items() if name not in own})


TARGETS = ("application", "rule")
"""Tables of what something can be bound to."""


@dataclass(kw_only=True)
class Target(Uuid):
    """What the policy, the group or the user is bound to."""

    def parse(self, data: Any, ctx: Context) -> Any:
        """The key of an existing row of any of the tables."""
        key = read_uuid(data)
        if target_of(ctx.state, key) is None:
            raise self.fail(f'Invalid pk "{data}" - object does not exist.', "does_not_exist")
        return key


def target_of(state: State, key: str) -> Record | None:
    """The row that a binding's target names."""
    return next((row for name in TARGETS if (row := state.tables[name].get(key))), None)


BOUND = ("group", "policy", "user")
same_place = common.together("binding", ("policy", "target", "order"))


def bind_one(values: dict[str, Any]) -> None:
    """One of the three is bound, no more.

    :raises ValidationError: for none, and for several.
    """
    names = ", ".join(f"'{name}'" for name in BOUND)
    count = sum(bool(values.get(name)) for name in BOUND)
    if count != 1:
        raise ValidationError(f"Only one of {names} can be set." if count else f"One of {names} must be set.")


def check_binding(values: dict[str, Any], instance: Record | None, ctx: Context) -> None:
    """What is bound, and where; an update that leaves the target alone is not looked at.

    :raises ValidationError: when it is not one thing, and for a policy that has this place already.
    """
    same_place(values, instance, ctx)
    if "target" in values:
        bind_one(values)


def without_target(state: State) -> Serializer:
    """A binding of what is made in the same request."""
    every = state.models[BINDING].serializer.fields
    fields = {name: field for name, field in every.items() if name != "target"}
    return Serializer(
        "TransactionPolicyBinding",
        fields,
        check=lambda values, instance, ctx: bind_one(values),  # noqa: ARG005
    )


def binding_title(state: State) -> Callable[[Record], str]:
    """A binding's text: from what, at which place, to whom."""

    def title(record: Record) -> str:
        target = target_of(state, record["target"])
        origin = f"{target['name']}" if target else ""
        if target and state.tables["rule"].get(record["target"]):
            origin = f"Notification Rule {origin}"
        bound = [(name, state.tables[name].get(record[name])) for name in ("policy", "group", "user")]
        kind, name = next(((kind.title(), row["name"]) for kind, row in bound if row), ("Invalid", "invalid"))
        return f"Binding from {origin} #{record['order']} to {kind} {name}"

    return title


def binding_model(state: State) -> Model:
    """What ties a policy, a group or a user to an application or a rule."""
    newest = state.profile.at_least("2026.8")
    policies = base_policy(state)
    group, user = people.partial_group(), people.partial_user()

    def row(table: str) -> Callable[[Record, Context], Record | None]:
        return lambda record, ctx: ctx.state.tables[table].get(record[table])

    serializer = Serializer(
        "PolicyBinding",
        {
            "pk": Uuid(read_only=True, label="Policy binding uuid"),
            "policy": Related(table="policy", null=True, default=None),
            "group": Related(table="group", null=True, default=None),
            "user": Related(table="user", integer=True, null=True, default=None),
            "policy_obj": Nested(serializer=lambda: policies, null=True, get=row("policy")),
            "group_obj": Nested(serializer=lambda: group, null=True, get=row("group")),
            "user_obj": Nested(serializer=lambda: user, null=True, get=row("user")),
            "target": Target(),
            "negate": Boolean(default=False),
            "enabled": Boolean(default=True),
            "order": Integer(minimum=-MAX_INT - 1, maximum=MAX_INT),
            "timeout": Integer(default=30, minimum=0, maximum=MAX_INT),
            "failure_result": Boolean(default=False),
            "expires": Moment(null=True, read_only=True, default=None) if newest else None,
            "expiring": Boolean(read_only=True, default=False) if newest else None,
        },
        check=check_binding,
    )
    return Model(
        state=state,
        label=BINDING,
        class_name="PolicyBinding",
        table_name="binding",
        serializer=serializer,
        verbose_name="Policy Binding",
        title=binding_title(state),
        saved=lambda record, ctx, created: ctx.state.application_cache.clear(),  # noqa: ARG005
    )


def any_uuid(column: str) -> listing.Filter:
    """One of several UUIDs; repeat the parameter."""

    def build(values: list[str], ctx: Context) -> listing.Keep | None:
        keeps = [keep for value in values if (keep := listing.uuid_is(column)([value], ctx))]
        return (lambda record: any(keep(record) for keep in keeps)) if keeps else None

    return build


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    policy, expression, binding = policy_model(state), expression_model(state), binding_model(state)
    for model in (policy, expression, binding):
        state.models[model.label] = model
    common_filters = {
        "name": listing.exact("name"),
        "execution_logging": listing.flag("execution_logging"),
        "policy_uuid": listing.uuid_is("pk"),
        **{name: listing.moment(name) for name in ("created", "last_updated")},
    }
    matched = ["app", "client_ip", "model", *(["query"] if state.profile.at_least("2026.5") else [])]
    return [
        ModelView(
            state,
            "policies/event_matcher",
            policy,
            lookup_name="policy_uuid",
            filters=common_filters
            | {name: listing.exact(name) for name in matched}
            | {"action": listing.choice("action", lambda _: list(actions_of(state)))},
            search=["name"],
            ordering=["name"],
        ),
        ModelView(
            state,
            "policies/expression",
            expression,
            lookup_name="policy_uuid",
            filters=common_filters | {"expression": listing.exact("expression")},
            search=["name"],
            ordering=["name"],
        ),
        ModelView(
            state,
            "policies/bindings",
            binding,
            lookup_name="policy_binding_uuid",
            filters={
                "target": listing.uuid_is("target"),
                "target_in": any_uuid("target"),
                "policy": listing.reference("policy", "policy"),
                "policy__isnull": listing.flag("policy", is_null=True),
                "timeout": listing.number("timeout"),
                "enabled": listing.flag("enabled"),
                "order": listing.number("order"),
            },
            ordering=["target", "order"],
        ),
    ]
