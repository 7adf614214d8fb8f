"""Take the pictures of the README from a running Holdfast: ``python -m tests.journeys.screenshots``.

``make demo`` starts one with the examples, and prints the password of viewer@example.com, who takes the pictures. They
go where the README finds them.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser

from tests.journeys.browser import DESKTOP, PHONE, Cookie, Scheme, chromium, opened

FOLDER = Path(__file__).parents[2] / "experiments/static/experiments/screenshots"
LARGEST_BYTES = 250_000


class Picture(NamedTuple):
    """A picture of the upper part of a page, or of one element of it."""

    name: str
    path: str
    width: int
    height: int
    scheme: Scheme
    element: str = ""


PICTURES = (
    Picture("portfolio-light.png", "/", DESKTOP, 900, "light"),
    Picture("scorecard-light.png", "/experiments/honeymoon/", DESKTOP, 1480, "light"),
    Picture("scorecard-dark.png", "/experiments/honeymoon/", DESKTOP, 1480, "dark"),
    Picture("scorecard-phone.png", "/experiments/honeymoon/", PHONE, 1400, "light"),
    Picture("survival-light.png", "/experiments/honeymoon/", DESKTOP, 900, "light", "#survival-treatment-churn"),
    Picture("looks-light.png", "/experiments/honeymoon/", DESKTOP, 900, "light", "#looks"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--address", default="http://127.0.0.1:8000", help="where Holdfast runs (%(default)s)")
    parser.add_argument("--email", default="viewer@example.com", help="who signs in (%(default)s)")
    parser.add_argument("--password", required=True, help="as the demo has printed it")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pictures go (%(default)s)")
    chosen = parser.parse_args()
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        sys.exit("chromium is missing: install it, or set CHROMIUM to its path.")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with chromium(program) as browser:
        cookies = signed_in(browser, chosen.address, chosen.email, chosen.password)
        for picture in PICTURES:
            take(browser, chosen.address + picture.path, chosen.folder / picture.name, picture, cookies)


def signed_in(browser: Browser, address: str, email: str, password: str) -> list[Cookie]:
    """Sign in as a person does, and return the cookies of it."""
    with opened(browser, f"{address}/login/", DESKTOP, who="") as (page, _):
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        if page.get_by_role("button", name="Sign out").count() == 0:
            sys.exit(f"{email} could not sign in at {address}.")
        kept = page.context.cookies()
    return [{"name": cookie["name"], "value": cookie["value"], "url": address} for cookie in kept]


def take(browser: Browser, address: str, target: Path, picture: Picture, cookies: Sequence[Cookie]) -> None:
    """Take one picture. A page with a problem is not worth one."""
    with opened(browser, address, picture.width, picture.scheme, who="", cookies=cookies) as (page, account):
        problems = account.of(page)
        if problems:
            sys.exit(f"{address}: {'; '.join(problems)}")
        page.set_viewport_size({"width": picture.width, "height": picture.height})
        page.wait_for_timeout(500)  # the charts take up their new size
        if picture.element:
            page.locator(picture.element).screenshot(path=target)
        else:
            page.screenshot(path=target)
    size = target.stat().st_size
    if size > LARGEST_BYTES:
        sys.exit(f"{target} has {size} bytes; at most {LARGEST_BYTES} are wanted.")
    sys.stdout.write(f"{target}: {size // 1000} kB\n")


if __name__ == "__main__":
    main()
