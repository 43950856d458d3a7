"""The distribution's Chromium, driven by playwright; tests skip where one of the two is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

_ARGUMENTS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
]


@contextmanager
def launched_browser() -> Iterator[Browser]:
    """Start Chromium, and end it afterwards.

    While it runs, no other event loop can run in this thread: use it in fixtures of a module at most.
    """
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    if chromium is None:
        pytest.skip('there is no chromium; install the package of the distribution')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield browser
        browser.close()


def watch(page: Page, origin: str, problems: list[str]) -> None:
    """Add to ``problems`` what a page does wrong from now on.

    That is errors and warnings in its console, uncaught errors, and requests to elsewhere than ``origin``, the
    beginning of the addresses that it may use.
    """

    def note_message(message: ConsoleMessage) -> None:
        if message.type in ('error', 'warning'):
            problems.append(f'console: {message.text}')

    def note_request(request: Request) -> None:
        if not request.url.startswith((origin, 'blob:', 'data:')):
            problems.append(f'request: {request.url}')

    page.on('console', note_message)
    page.on('pageerror', lambda error: problems.append(f'uncaught: {error}'))
    page.on('request', note_request)


def violations(page: Page) -> list[str]:
    """Return the rules of accessibility that axe sees broken, each with the elements that break it."""
    axe = pytest.importorskip(
        'axe_playwright_python.sync_playwright', reason='axe-playwright-python is not installed'
    )
    found = axe.Axe().run(page).response['violations']
    return [
        f'{rule["id"]} ({rule["help"]}): {", ".join(str(node["target"]) for node in rule["nodes"])}'
        for rule in found
    ]
