"""The form of a cassette file: a header that says what it was recorded against, then vcrpy's interactions."""

from __future__ import annotations

import contextlib
import platform
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from vcr.cassette import Cassette
from vcr.errors import CannotOverwriteExistingCassetteException, UnhandledHTTPRequestError
from vcr.matchers import host, method, path, query, raw_body
from vcr.record_mode import RecordMode
from vcr.request import Request
from vcr.serializers import yamlserializer

FOLDER = Path(__file__).resolve().parents[1] / "cassettes"
MATCH_ON = (method, host, path, query, raw_body)
LIBRARIES = (
    "authentik-client",
    "azure-core",
    "azure-identity",
    "httpx",
    "microsoft-kiota-http",
    "msal",
    "msgraph-core",
    "msgraph-sdk",
    "requests",
    "urllib3",
    "vcrpy",
)
WORDS = "Recorded by `make record`; see CONTRIBUTING.md. Do not edit."


@dataclass(frozen=True)
class Header:
    """What a cassette was recorded against. Everything that a replay needs besides the interactions.

    :param against: ``sandbox`` or ``real tenant``.
    :param version: of this program, and so of its sandbox.
    :param authentik: release that answered, e.g. ``2026.5``; for a real server the one that it names.
    :param started: ISO 8601 in UTC; the clock of a replay stands there.
    :param tenant_id: ``client_id`` likewise: as they stand in the cassette.
    :param libraries: name -> version of every client library.
    """

    against: str
    version: str
    authentik: str
    started: str
    python: str
    tenant_id: str
    client_id: str
    command: str
    libraries: dict[str, str]

    @property
    def moment(self) -> datetime:
        """``started``, aware."""
        return datetime.fromisoformat(self.started)


def library_versions() -> dict[str, str]:
    """Versions of the client libraries in use."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def python_version() -> str:
    """The interpreter, without its build."""
    return f"{platform.python_implementation()} {platform.python_version()}"


class Format:
    """vcrpy's serializer with the header in front and readable bodies."""

    def __init__(self, header: Header | None = None) -> None:
        self.header = header

    def serialize(self, cassette: dict[str, Any]) -> str:
        """The text of the file."""
        if self.header is None:
            raise ValueError("a cassette without a header is not written")
        head = yaml.dump({"recorded": asdict(self.header)}, sort_keys=False, width=110)
        return f"# {WORDS}\n{head}{yaml.dump(cassette, Dumper=_Readable, width=110)}"

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """What vcrpy wants of it."""
        return yamlserializer.deserialize(text)


class _Readable(yaml.SafeDumper):
    """Texts of several lines as blocks: changes of an answer can be read in a diff."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _text)


def read_header(file: Path) -> Header:
    """The header of one cassette."""
    text = file.read_text(encoding="utf-8")
    if not text.startswith(f"# {WORDS}\n"):
        raise ValueError(f"{file.name} does not begin as a recorded cassette does")
    head, _, _ = text.partition("\ninteractions:")
    return Header(**yaml.safe_load(head)["recorded"])


class Player(Cassette):
    """Plays each recorded answer once, to several threads, and remembers what was asked for in vain."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.misses: list[Request] = []
        self._guard = threading.Lock()

    def play_response(self, request: Request) -> dict[str, Any]:
        with self._guard:
            try:
                return super().play_response(request)
            except UnhandledHTTPRequestError:
                self.misses.append(request)
                raise

    def find_requests_with_most_matches(self, request: Request) -> list[Any]:
        # vcrpy asks for these when it refuses a request, and at no other time.
        if request not in self.misses:
            self.misses.append(request)
        return super().find_requests_with_most_matches(request)

    def check(self) -> None:
        """Whatever the program made of it: every request was in the cassette, and every one was sent.

        :raises CannotOverwriteExistingCassetteException: a request was not in the cassette.
        :raises AssertionError: a recorded request was never sent.
        """
        if self.misses:
            error = CannotOverwriteExistingCassetteException(cassette=self, failed_request=self.misses[0])
            error.add_note("Where requests were changed on purpose: make record. See CONTRIBUTING.md.")
            raise error
        unplayed = [
            f"{request.method} {request.uri}"
            for index, request in enumerate(self.requests)
            if not self.play_counts[index]
        ]
        if unplayed or not self.all_played:
            raise AssertionError(f"recorded, but never sent: {', '.join(unplayed)}")


@contextlib.contextmanager
def patched_for_threads(cassette: Any) -> Iterator[Any]:
    """A cassette's context in which its patches stand all the time.

    vcrpy takes them away, from all threads, while one of them makes a connection: others would then send their
    requests past the cassette. The connections made here need no such care.
    """
    with mock.patch("vcr.patch.force_reset", contextlib.nullcontext), cassette as opened:
        yield opened


def playing(name: str, before_record_request: Callable[[Request], Request]) -> Any:
    """A context that answers every request from one cassette."""
    return patched_for_threads(
        Player.use(
            path=str(FOLDER / f"{name}.yaml"),
            serializer=Format,
            record_mode=RecordMode.NONE,
            match_on=MATCH_ON,
            before_record_request=before_record_request,
        )
    )


def recording(file: Path, form: Format, **options: Any) -> Any:
    """A context that writes every exchange to a new file, with the header that the form has at its end."""
    return patched_for_threads(
        Cassette.use(
            path=str(file),
            serializer=form,
            record_mode=RecordMode.ONCE,
            match_on=MATCH_ON,
            **options,
        )
    )
