"""The command line as a process of its own, beside the loop that serves what it asks."""

import asyncio
import sys
from dataclasses import dataclass

import aiohttp


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


async def responder(client: aiohttp.ClientSession, *arguments: str) -> Done:
    """Call it for the service of this client."""
    url = str(client._base_url).rstrip("/")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "responder.cli", *arguments, "--url", url, "--token", "x" * 20),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    return Done(process.returncode or 0, stdout.decode(), stderr.decode())
