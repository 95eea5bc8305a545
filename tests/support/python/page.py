"""The status page in Chromium: `page.py SCENARIO URL [TOKEN]`. With SCREENSHOTS=DIRECTORY it leaves pictures there."""

import json
import os
import sys

from browser import Browser

PHONE_WIDTH = 390


def open_page(browser, url):
    browser.resize(1280, 900, False)
    if url.startswith("https:"):
        # The issuer is the test's own; what Chromium thinks of that is not tested.
        browser.call("Security.setIgnoreCertificateErrors", ignore=True)
    browser.call("Page.navigate", url=url)
    browser.wait("the page has loaded", "document.readyState === 'complete'")


def picture(browser, name):
    directory = os.environ.get("SCREENSHOTS")
    if directory:
        height = browser.evaluate("document.documentElement.scrollHeight")
        width = browser.evaluate("innerWidth")
        browser.resize(width, max(height, 600), width < 600)
        browser.screenshot(os.path.join(directory, f"{name}.png"))


def nothing_went_wrong(browser, url):
    """No exception, nothing that the policy forbids, and no request to anywhere else."""
    assert not browser.of("Runtime.exceptionThrown"), browser.of("Runtime.exceptionThrown")
    entries = [event["entry"] for event in browser.of("Log.entryAdded")]
    # That a request was refused is a line of its own, and part of what is tested.
    errors = [entry for entry in entries if entry["level"] == "error" and entry["source"] != "network"]
    assert not errors, errors
    for request in browser.of("Network.requestWillBeSent"):
        assert request["request"]["url"].startswith(url), request["request"]["url"]


def no_sideways_scrolling(browser):
    width, shown = browser.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= shown, f"{width} wide on {shown}"


def background(browser):
    return browser.evaluate("getComputedStyle(document.documentElement).backgroundColor")


def looks(browser, url):
    """Everything is there, live, in both schemes and at both widths."""
    open_page(browser, url)
    browser.wait("an event came", "!document.getElementById('status').hidden")
    browser.wait("it is serving", "document.getElementById('phase').textContent === 'Serving'")
    browser.wait("both targets are shown as they are", """
        document.querySelectorAll('#group-app tbody tr').length === 2
        && document.querySelector('#group-app').innerText.includes('unhealthy')""")
    browser.wait("why it is not healthy", """
        document.getElementById('attention').innerText.includes('nothing listens on that address and port')""")
    browser.wait("requests have a rate", "parseFloat(document.querySelectorAll('#tiles .figure')[2].textContent) > 0")
    # Connections to targets are kept, so for a while there may be no connect.
    browser.wait("phases have latencies", "document.querySelectorAll('#latency tbody tr').length >= 2")
    browser.wait("latencies are of the last seconds", """
        document.getElementById('window').textContent.startsWith('of the last')""")
    assert browser.evaluate("document.querySelectorAll('#shards tbody tr').length") == 2
    assert browser.evaluate("document.querySelectorAll('#revisions tbody tr').length") == 1
    assert "test" in browser.evaluate("document.title")
    no_sideways_scrolling(browser)
    light = background(browser)
    picture(browser, "light")
    browser.scheme("dark")
    assert background(browser) != light
    picture(browser, "dark")
    browser.resize(PHONE_WIDTH, 844, True)
    no_sideways_scrolling(browser)
    picture(browser, "phone-dark")
    browser.scheme("light")
    picture(browser, "phone-light")
    nothing_went_wrong(browser, url)


def acts(browser, url, token):
    """Token, keyboard, and a change of weight: refused, then made."""
    asked = []
    answers = [
        (409, {"error": {"code": "conflict", "message": "the group is the file's", "hint": "edit the config"}}),
        (200, {"revision": 2}),
    ]

    def answer(request):
        if request["method"] != "PATCH":
            return None
        asked.append(request)
        return answers[len(asked) - 1]

    browser.intercept = answer
    browser.call("Fetch.enable", patterns=[{"urlPattern": "*/targets"}])
    open_page(browser, url)
    browser.wait("it asks for the token", "!document.getElementById('token-form').hidden")
    assert browser.evaluate("document.activeElement.id") == "token"
    assert browser.evaluate("document.getElementById('status').hidden"), "nothing is shown without it"
    picture(browser, "token")
    browser.type("schlüssel")
    browser.key("Enter")
    browser.wait("what no token is, is said", "document.getElementById('token-error').textContent.includes('ASCII')")
    browser.evaluate("document.getElementById('token').value = ''")
    browser.type("not-the-token-at-all")
    browser.key("Enter")
    browser.wait("a wrong token is said to be wrong", """
        document.getElementById('token-error').textContent.includes('does not know')""")
    browser.type(token)
    browser.key("Enter")
    browser.wait("it shows the status", "!document.getElementById('status').hidden")
    assert token not in browser.evaluate("location.href + document.documentElement.outerHTML + document.cookie")
    assert browser.evaluate("localStorage.length") == 0

    # By keyboard alone, from the top of the page.
    browser.evaluate("document.getElementById('main').focus()")
    for _ in range(30):
        browser.key("Tab")
        if browser.evaluate("document.activeElement.textContent") == "Change":
            break
    browser.key("Enter")
    browser.wait("the dialog is open", "document.getElementById('change').open")
    browser.key("Escape")
    browser.wait("Escape closes it", "!document.getElementById('change').open")
    assert not asked, "and nothing is changed"
    assert browser.evaluate("document.activeElement.textContent") == "Change", "the focus is back"
    browser.key("Enter")
    browser.wait("the dialog is open", "document.getElementById('change').open")
    assert browser.evaluate("document.getElementById('confirm').disabled"), "the weight is what it was"
    browser.type("101")
    assert browser.evaluate("document.getElementById('confirm').disabled"), "no such weight"
    browser.evaluate("document.getElementById('drain').click()")
    assert "gets nothing new" in browser.evaluate("document.getElementById('change-effect').textContent")
    browser.key("Enter")
    refusal = "the group is the file's; edit the config (conflict)"
    browser.wait("the refusal is shown", f"""document.getElementById('change-error').textContent === "{refusal}" """)
    picture(browser, "change")
    assert browser.evaluate("document.getElementById('change').open")
    browser.evaluate("document.getElementById('confirm').focus()")
    browser.key("Enter")
    browser.wait("it is said to be done", "document.getElementById('done').textContent.includes('is 0')")
    assert not browser.evaluate("document.getElementById('change').open")
    for request in asked:
        assert request["headers"]["Authorization"] == f"Bearer {token}", request
        assert request["url"] == f"{url}v1/target-groups/app/targets", request
        body = json.loads(request["postData"])
        [target] = body["targets"]
        assert sorted(target) == ["address", "port", "weight"] and target["weight"] == 0, body

    browser.evaluate("document.getElementById('forget').click()")
    browser.wait("without the token nothing is shown", "document.getElementById('status').hidden")
    nothing_went_wrong(browser, url)


def survives(browser, url, directory):
    """The balancer goes, and comes back: the page says so, and goes on."""
    open_page(browser, url)
    browser.wait("it is live", "document.getElementById('link').textContent === '· live'")
    say(directory, "live")
    browser.wait("that it is gone is said", "document.getElementById('phase').textContent === 'No answer'")
    assert browser.evaluate("document.body.classList.contains('stale')")
    picture(browser, "gone")
    say(directory, "gone")
    browser.wait("it is live again", """
        document.getElementById('link').textContent === '· live'
        && document.getElementById('phase').textContent === 'Serving' && !document.body.classList.contains('stale')""")
    assert browser.evaluate("document.querySelectorAll('#revisions tbody tr').length") == 1, "it is the new one's"
    say(directory, "back")
    browser.wait("a reload is shown as it comes", "document.querySelectorAll('#revisions tbody tr').length === 2")
    browser.wait("with the weight that it brought", """
        document.querySelector('#group-app tbody tr').innerText.includes('nothing new')""")
    nothing_went_wrong(browser, url)


def say(directory, word):
    """A file that the test waits for."""
    open(os.path.join(directory, word), "w").close()


def main():
    scenario, url, *arguments = sys.argv[1:]
    with Browser() as browser:
        {"looks": looks, "acts": acts, "survives": survives}[scenario](browser, url, *arguments)


if __name__ == "__main__":
    main()
