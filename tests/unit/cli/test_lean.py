"""What a process of the command line leaves out of its libraries, and that nobody else's process is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

PROGRAM = """
import asyncio, gc, json, os, sys
from authentik_entra_bootstrap import cli
if sys.argv[1] == "main":
    try:
        cli.main(["--version"])
    except SystemExit as error:
        assert not error.code
elif sys.argv[1] == "run":
    assert cli.run(["--version"]) == 0
import httpx
from pydantic import BaseModel
class Model(BaseModel):
    number: int

async def asked():
    seen = []
    async def served(reader, writer):
        seen.append((await reader.readuntil(b"\\r\\n\\r\\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(served, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/x", headers={"A": "b"})
    server.close()
    return [answer.text, answer.http_version, [line for line in seen[0].splitlines() if "Host" not in line]]

print("\\n" + json.dumps({
    "answer": asyncio.run(asked()),
    "model": Model(number="7").number,
    "left out": [name for name in ("h2", "httpx._main", "pygments") if not sys.modules.get(name)],
    "threshold": gc.get_threshold()[0],
    "plugins": os.environ.get("PYDANTIC_DISABLE_PLUGINS"),
    "callable": callable(httpx.main),
}))
"""


def outcome(way: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name != "PYDANTIC_DISABLE_PLUGINS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_the_command_s_own_process_leaves_parts_out_and_everything_else_is_the_same() -> None:
    ours, usual = outcome("main"), outcome("nothing")
    assert ours["left out"] == ["h2", "httpx._main", "pygments"]
    assert ours["threshold"] > usual["threshold"]
    assert ours["plugins"] == "__all__"
    for same in ("answer", "model", "callable"):
        assert ours[same] == usual[same]
    assert usual["answer"][:2] == ["hi", "HTTP/1.1"]


def test_a_program_that_runs_a_command_keeps_its_libraries() -> None:
    assert outcome("run") == outcome("nothing")
