"""Pages opened in a browser."""

from playwright.sync_api import Page

from tests.sessions.visitors import Server

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def visit(chromium, server: Server, address: str = "") -> Page:
    page = chromium.new_context(viewport=WIDE).new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{server.url}/{address}")
    settle(page)
    return page


def settle(page: Page, timeout_s: float = 90) -> None:
    """Wait until the script has run and nothing on the page is marked stale."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            return app && app.getAttribute('data-test-script-state') === 'notRunning'
                && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]');
        }""",
        timeout=timeout_s * 1000,
    )
    page.wait_for_timeout(250)
    assert not page.get_by_test_id("stException").count(), page.get_by_test_id("stException").first.inner_text()
