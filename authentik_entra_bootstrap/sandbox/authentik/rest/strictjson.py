"""JSON parsing whose complaints read like those of orjson, the parser that authentik uses."""

from __future__ import annotations

import json
import math
import re
from typing import Any

SPACE = " \t\n\r"
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})')
PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
SURROGATE = re.compile("[\ud800-\udfff]")
DEEPEST = 1024
WIDEST = range(-(2**63), 2**64)
"""Whole numbers beyond 64 bits are read as floats."""


class JsonError(ValueError):
    """Unreadable JSON; the text ends in line, column and character like orjson's."""


def parse(body: bytes) -> Any:
    """The value that the bytes hold.

    :raises JsonError: with orjson's words.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"str is not valid UTF-8: surrogates not allowed: {_place('', 0)}") from error
    if not text:
        raise JsonError(f"Input is a zero-length, empty document: {_place('', 0)}")
    if not text.strip(SPACE):
        raise JsonError(f"input data is empty: {_place(text, 0)}")
    reader = _Reader(text)
    try:
        value = reader.value(0)
    except RecursionError:  # Python's own limit may be the lower one
        raise JsonError(f"Recursion limit reached: {_place(text, 0)}") from None
    reader.skip()
    if reader.at < len(text):
        reader.fail("unexpected content after document")
    return value


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"line {line} column {column} (char {position})"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, message: str, at: int | None = None) -> None:
        raise JsonError(f"{message}: {_place(self.text, self.at if at is None else at)}")

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in SPACE:
            self.at += 1

    def peek(self) -> str:
        self.skip()
        if self.at >= len(self.text):
            self.fail("unexpected end of data")
        return self.text[self.at]

    def value(self, depth: int) -> Any:
        if depth > DEEPEST:
            self.fail("Recursion limit reached", 0)
        character = self.peek()
        if character == "{":
            return self.mapping(depth)
        if character == "[":
            return self.sequence(depth)
        if character == '"':
            return self.string()
        if character == "-" or character.isdigit():
            return self.number()
        for word, meaning in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return meaning
            if word.startswith(self.text[self.at :]):
                self.at = len(self.text)
                self.fail("unexpected end of data")
        self.fail("unexpected character, expected a JSON value")
        return None

    def mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        if self.peek() == "}":
            self.at += 1
            return found
        while True:
            if self.peek() != '"':
                self.fail("unexpected character, expected a string key")
            key = self.string()
            if self.peek() != ":":
                self.fail("unexpected character, expected ':' after key")
            self.at += 1
            found[key] = self.value(depth + 1)
            if self.separator("}"):
                return found

    def sequence(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        if self.peek() == "]":
            self.at += 1
            return found
        while True:
            found.append(self.value(depth + 1))
            if self.separator("]"):
                return found

    def separator(self, end: str) -> bool:
        character = self.peek()
        if character == end:
            self.at += 1
            return True
        if character != ",":
            self.fail(f"unexpected character, expected ',' or '{end}'")
        comma = self.at
        self.at += 1
        if self.peek() == end:
            self.fail("trailing comma is not allowed", comma)
        return False

    def string(self) -> str:
        start = self.at
        self.at += 1
        while True:
            if self.at >= len(self.text):
                self.fail("unexpected end of data")
            character = self.text[self.at]
            if character == '"':
                break
            if character == "\\":
                escape = ESCAPE.match(self.text, self.at)
                if escape is None:
                    self.fail("invalid escaped sequence in string")
                self.at = escape.end() if escape else self.at
            elif character < " ":
                self.fail("unexpected control character in string")
            else:
                plain = PLAIN.match(self.text, self.at)
                self.at = plain.end() if plain else self.at + 1
        self.at += 1
        value: str = json.loads(self.text[start : self.at])
        if SURROGATE.search(value):
            self.fail("no low surrogate in string", start + 1)
        return value

    def number(self) -> int | float:
        found = NUMBER.match(self.text, self.at)
        if found is None:
            self.at += 1
            self.fail("unexpected end of data" if self.at >= len(self.text) else "no digit after minus sign")
            return 0
        start, self.at = self.at, found.end()
        rest = self.text[self.at : self.at + 1]
        if found.group(0).lstrip("-") == "0" and rest.isdigit():
            self.fail("number with leading zero is not allowed", start)
        if rest in {".", "e", "E"}:
            self.at += 1
            end = self.at >= len(self.text)
            self.fail("unexpected end of data" if end else "no digit after decimal point")
        digits = found.group(0)
        value: int | float = float(digits)
        if digits.lstrip("-").isdigit() and len(digits) < 30 and int(digits) in WIDEST:
            value = int(digits)
        if isinstance(value, float) and math.isinf(value):
            self.fail("number is infinity when parsed as double", start)
        return value
