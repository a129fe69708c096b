"""The sandbox's own JSON API under ``/_sandbox/`` on both servers, so that other processes can drive it.

docs/reference/sandbox.md lists its addresses. Mistakes are answered 400 with ``{"error": "what is wrong"}``. It takes
no credentials: the servers listen on loopback only and hold nothing but made-up secrets.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from authentik_entra_bootstrap.sandbox.faults import Fault, Switches
from authentik_entra_bootstrap.sandbox.world import World

Environment = Callable[[], dict[str, str]]


class Control:
    """The control API of one world.

    :param environment: gives the variables of ``GET /_sandbox/environment``.
    """

    def __init__(self, world: World, environment: Environment) -> None:
        self._world = world
        self._environment = environment
        self._initial = asdict(world.switches)

    def router(self) -> Starlette:
        """The ASGI application, to be mounted at ``/_sandbox``; it answers 400 for what a handler refuses."""
        return Starlette(
            exception_handlers=dict.fromkeys((ValueError, LookupError, OverflowError), _refusal),
            routes=[
                Route("/", self._state),
                Route("/environment", lambda _request: JSONResponse(self._environment())),
                Route("/ca.pem", lambda _request: PlainTextResponse(self._world.ca_pem)),
                Route("/switches", self._switches, methods=["GET", "PATCH"]),
                Route("/faults", self._faults, methods=["GET", "POST", "DELETE"]),
                Route("/faults/{name}", self._remove_fault, methods=["DELETE"]),
                Route("/clock", self._clock, methods=["POST"]),
                Route("/requests", self._requests, methods=["GET", "DELETE"]),
                Route("/reset", self._reset, methods=["POST"]),
                Route("/devicecode", self._devicecode, methods=["POST"]),
                Route("/issuers", self._issuers, methods=["POST"]),
            ],
        )

    def _state(self, _request: Request) -> Response:
        world = self._world
        return JSONResponse(
            {
                "now": world.clock.now().isoformat(),
                "seed": world.seed,
                "entra_url": world.entra_url,
                "authentik_url": world.authentik_url,
                "ca_file": str(world.ca_file) if world.ca_file else None,
                "tenants": list(world.tenants),
                "switches": asdict(world.switches),
                "faults": [fault.as_json() for fault in world.faults.all()],
                "requests": {"seq": world.log.last_seq},
            }
        )

    async def _switches(self, request: Request) -> Response:
        if request.method == "PATCH":
            set_switches(self._world.switches, await _body(request))
        return JSONResponse(asdict(self._world.switches))

    async def _faults(self, request: Request) -> Response:
        faults = self._world.faults
        if request.method == "POST":
            fault = faults.add(Fault.from_json(await _body(request)))
            return JSONResponse(fault.as_json(), status_code=201)
        if request.method == "DELETE":
            faults.clear()
        return JSONResponse([fault.as_json() for fault in faults.all()])

    async def _remove_fault(self, request: Request) -> Response:
        removed = self._world.faults.remove(request.path_params["name"])
        return (
            Response(status_code=204)
            if removed
            else JSONResponse({"error": "no such fault"}, status_code=404)
        )

    async def _clock(self, request: Request) -> Response:
        seconds: Any = (await _body(request)).get("advance")
        if type(seconds) not in {int, float}:
            raise ValueError("advance must be a number of seconds")
        return JSONResponse({"now": self._world.clock.advance(seconds).isoformat()})

    async def _requests(self, request: Request) -> Response:
        log = self._world.log
        if request.method == "DELETE":
            log.clear()
        since = int(request.query_params.get("since", "0"))
        entries = log.since(since, request.query_params.get("agent", ""))
        if request.query_params.get("writes"):
            entries = [entry for entry in entries if entry.write]
        return JSONResponse({"seq": log.last_seq, "requests": [entry.as_json() for entry in entries]})

    def _reset(self, _request: Request) -> Response:
        self._world.faults.clear()
        set_switches(self._world.switches, self._initial)
        self._world.log.clear()
        return Response(status_code=204)

    async def _devicecode(self, request: Request) -> Response:
        from authentik_entra_bootstrap.sandbox.microsoft.login import decide  # heavy

        body = await _body(request)
        decide(
            self._world,
            str(body.get("user_code", "")),
            str(body.get("user", "")),
            approve=body.get("decision", "approve") == "approve",
        )
        return Response(status_code=204)

    async def _issuers(self, request: Request) -> Response:
        from authentik_entra_bootstrap.sandbox.microsoft.clients import trust_issuer  # heavy

        body = await _body(request)
        trust_issuer(self._world, str(body.get("issuer", "")), body.get("jwks"))
        return Response(status_code=204)


def set_switches(switches: Switches, values: dict[str, Any]) -> None:
    """Change switches in place, all or none.

    :raises ValueError: for an unknown switch or a value of the wrong type.
    """
    hints = typing.get_type_hints(Switches)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"there is no switch called {name!r}")
        if not _fits(value, hints[name]):
            raise ValueError(f"{name} does not take {value!r}")
    for name, value in values.items():
        setattr(switches, name, tuple(value) if isinstance(value, list) else value)


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, list | tuple) and all(
            _fits(item, typing.get_args(hint)[0]) for item in value
        )
    if hint in {int, float}:
        number = isinstance(value, int) or (hint is float and isinstance(value, float))
        return number and not isinstance(value, bool) and value >= 0
    return isinstance(value, hint)


async def _body(request: Request) -> dict[str, Any]:
    value = await request.json()
    if type(value) is not dict:
        raise ValueError("the body must be a JSON object")
    return value


def _refusal(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)
