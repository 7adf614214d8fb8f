"""Debian's Chromium, driven by Playwright, with an account of everything on a page that should not be there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = 1280, 375
WATCH_POLICY = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""
Scheme = Literal["light", "dark"]
#: A cookie as a browser is given it: name, value, url.
Cookie = dict[str, str]


@dataclass
class Account:
    """What a page did wrong: messages in its console, errors in its scripts, requests that left its origin."""

    origin: str
    problems: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.problems.append(f"left the origin: {request.url}")

    def of(self, page: Page) -> list[str]:
        """Everything wrong so far, violations of the content security policy included."""
        return self.problems + [f"policy: {violation}" for violation in page.evaluate("window.violations")]


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    address: str,
    width: int,
    scheme: Scheme = "light",
    who: str = "viewer",
    cookies: Sequence[Cookie] = (),
) -> Iterator[tuple[Page, Account]]:
    """A page as somebody with this screen and this preference sees it, its charts drawn.

    ``who`` of the cast of ``tests.people`` is signed in; nobody if it is empty, or whom ``cookies`` speak for.
    """
    parts = urlsplit(address)
    account = Account(f"{parts.scheme}://{parts.netloc}")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        if who:
            from tests.people import session_cookie  # needs Django; the pictures are taken without it

            name, value = session_cookie(who)
            context.add_cookies([{"name": name, "value": value, "url": account.origin}])
        context.add_cookies(cookies)
        page = context.new_page()
        page.add_init_script(WATCH_POLICY)
        account.watch(page)
        page.goto(address)
        page.wait_for_function(
            "() => [...document.querySelectorAll('details[open] [data-drawing]')].every((d) => d.querySelector('svg'))"
        )
        yield page, account
    finally:
        context.close()


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
