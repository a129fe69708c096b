"""Text fields, and validators of what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar

from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ErrorDetail, ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import Field

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record


@dataclass(kw_only=True)
class Text(Field):
    """A character field: stripped, blank refused, NUL refused."""

    blank: bool = False
    trim: bool = True
    max_length: int | None = None
    min_length: int | None = None
    kind: ClassVar[str] = "string"

    def run(self, data: Any, instance: Record | None, ctx: Context) -> Any:
        """Blank is looked at before anything else."""
        if data == "" or (self.trim and isinstance(data, str) and data.strip() == ""):
            if not self.blank:
                raise self.fail("This field may not be blank.", "blank")
            return ""
        return super().run(data, instance, ctx)

    def parse(self, data: Any, ctx: Context) -> Any:  # noqa: ARG002
        """Numbers become text; booleans and containers are refused."""
        if isinstance(data, bool) or not isinstance(data, str | int | float):
            raise self.fail("Not a valid string.")
        text = str(data)
        return text.strip() if self.trim else text

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Length and NUL come before the field's own validators."""
        messages: list[Any] = []
        if self.max_length is not None and len(value) > self.max_length:
            text = f"Ensure this field has no more than {self.max_length} characters."
            messages.append(ErrorDetail(text, "max_length"))
        if self.min_length is not None and len(value) < self.min_length:
            text = f"Ensure this field has at least {self.min_length} characters."
            messages.append(ErrorDetail(text, "min_length"))
        if "\x00" in value:
            messages.append(ErrorDetail("Null characters are not allowed.", "null_characters_not_allowed"))
        if any("\ud800" <= character <= "\udfff" for character in value):
            code = "surrogate_characters_not_allowed"
            messages.append(ErrorDetail("Surrogate characters are not allowed.", code))
        try:
            super().check(value, instance, ctx)
        except ValidationError as error:
            messages += error.detail
        if messages:
            raise ValidationError(messages)

    def schema(self) -> dict[str, Any]:
        """A string with its lengths."""
        schema: dict[str, Any] = {"type": "string"}
        if self.max_length is not None:
            schema["maxLength"] = self.max_length
        if not self.blank and not self.read_only:
            schema["minLength"] = 1
        return schema


@dataclass(kw_only=True)
class Slug(Text):
    """Letters, digits, hyphens, underscores."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Django's slug validator speaks first."""
        if not re.fullmatch(r"[-a-zA-Z0-9_]+", value):
            text = "Enter a valid “slug” consisting of letters, numbers, underscores or hyphens."
            raise self.fail(text)
        super().check(value, instance, ctx)

    def schema(self) -> dict[str, Any]:
        """A string with the slug's pattern."""
        return {**super().schema(), "pattern": "^[-a-zA-Z0-9_]+$"}


ATOM = r"[-!#$%&'*+/=?^_`{}|~0-9a-z]+"
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
EMAIL = re.compile(rf"{ATOM}(?:\.{ATOM})*@(?:(?:{LABEL}\.)+[a-z0-9-]{{2,63}}(?<!-)|localhost)", re.IGNORECASE)
"""Words joined by dots, and a domain whose last part has two letters at least."""


@dataclass(kw_only=True)
class Email(Text):
    """An e-mail address."""

    kind: ClassVar[str] = "email"

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """One ``@`` and a domain with a dot, or localhost."""
        if value and not EMAIL.fullmatch(value):
            raise self.fail("Enter a valid email address.")
        super().check(value, instance, ctx)

    def schema(self) -> dict[str, Any]:
        """A string of format email."""
        return {
            "type": "string",
            "format": "email",
            **({"maxLength": self.max_length} if self.max_length else {}),
        }


@dataclass(kw_only=True)
class Address(Text):
    """An IP address."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Version 4 or 6."""
        super().check(value, instance, ctx)
        try:
            ip_address(value)
        except ValueError:
            raise self.fail("Enter a valid IPv4 or IPv6 address.") from None


def duration(value: Any, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """authentik's validator of ``hours=3;minutes=1``: keys that are no unit are passed over.

    :raises ValidationError: for a value that is no number, and where no unit is left.
    """
    units = {"microseconds", "milliseconds", "seconds", "minutes", "hours", "days", "weeks"}
    pairs = [pair.split("=") for pair in value.split(";")]
    numbers = [pair[1] for pair in pairs if len(pair) == 2 and pair[0].lower() in units]
    sound = all(len(pair) == 2 for pair in pairs)
    sound &= all(
        re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", one, re.IGNORECASE) for one in numbers
    )
    if not sound or not numbers:
        raise ValidationError(f"{value} is not in the correct format of 'hours=3;minutes=1'.")


SCHEMES = ("http", "https", "blank", "ftp", "ftps")
HOST = r"(?:[%()a-z]*[a-z0-9](?:[a-z0-9_.()%-]*[a-z0-9)s])?|\[[0-9a-f:.]+\])"
ADDRESS = re.compile(
    rf"[a-z0-9.+-]*://(?:[^\s:@/]+(?::[^\s:@/]*)?@)?{HOST}\.?(?::\d{{1,5}})?(?:[/?#]\S*)?", re.IGNORECASE
)


@dataclass(kw_only=True)
class Url(Text):
    """The address of a web page; the host needs no domain, and may hold Python's ``%(…)s``."""

    def check(self, value: Any, instance: Record | None, ctx: Context) -> None:
        """Scheme and shape of the address; blank was looked at before."""
        super().check(value, instance, ctx)
        if value.split("://")[0].lower() not in SCHEMES or not ADDRESS.fullmatch(value):
            raise self.fail("Enter a valid URL.")

    def schema(self) -> dict[str, Any]:
        """A string of format uri."""
        return {
            "type": "string",
            "format": "uri",
            **({"maxLength": self.max_length} if self.max_length else {}),
        }
