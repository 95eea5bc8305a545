"""The status page in Chromium: `page.py SCENARIO URL [TOKEN]`. With SCREENSHOTS=DIRECTORY it leaves pictures there."""

import json
import os
import ssl
import sys
import urllib.request

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
    # Of the first event nothing has a rate.
    rates = browser.evaluate("[...document.querySelectorAll('td[data-label=Rate]')].map((cell) => cell.textContent)")
    assert not [text for text in rates if "–" in text and text != "–"], rates
    browser.wait("it is serving", "document.getElementById('phase').textContent === 'Serving'")
    browser.wait("both targets are shown as they are", """
        document.querySelectorAll('#group-app tbody tr').length === 2
        && document.querySelector('#group-app').innerText.includes('unhealthy')""")
    browser.wait("why it is not healthy", """
        document.getElementById('attention').innerText.includes('nothing listens on that address and port')""")
    browser.wait("requests have a rate", "parseFloat(document.querySelectorAll('#tiles .figure')[2].textContent) > 0")
    failed = browser.evaluate("""
        import("/page/rates.js").then(({ failures }) => failures({ refused: { scheme: 1 }, accept_errors: 2, closed: {},
            http: { errors: { bad_request: 50 }, responses: [0, 0, 0, 50, 3], target_5xx: 3 } }))""")
    assert failed == 56, failed
    # Connections to targets are kept, so for a while there may be no connect.
    browser.wait("phases have latencies", "document.querySelectorAll('#latency tbody tr').length >= 2")
    browser.wait("latencies are of the last seconds", """
        document.getElementById('window').textContent.startsWith('of the last')""")
    assert browser.evaluate("document.querySelectorAll('#shards tbody tr').length") == 2
    assert browser.evaluate("document.querySelectorAll('#revisions tbody tr').length") == 1
    assert "test" in browser.evaluate("document.title")
    assert not browser.evaluate("[...document.querySelectorAll('button')].some((one) => one.textContent === 'Change')")
    why = browser.evaluate("document.getElementById('unchangeable').innerText")
    assert why.startswith("Weights cannot be changed: [balancer] state_dir is not set"), why
    why = """import("/page/change.js").then((page) => ["weir.example", "192.0.2.1", "[::1]", "localhost"]
        .map((name) => page.whyUnchangeable({ why_nothing_changes: null }, name)))"""
    by_name, *by_address = browser.evaluate(why)
    assert "from weir.example" in by_name and by_address == ["", "", ""], (by_name, by_address)
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


# Whom to trust is not what is looked at here.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def weights_and_revision(url, token):
    """What the API says."""
    request = urllib.request.Request(f"{url}v1/target-groups/app/targets", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30, context=UNVERIFIED) as response:
        weights = [target["weight"] for target in json.load(response)["targets"]]
    request = urllib.request.Request(f"{url}v1/balancer", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30, context=UNVERIFIED) as response:
        return weights, json.load(response)["revision"]


def acts(browser, url, token):
    """Token, keyboard, and changes of weight: one that is refused, which the test plays, and two that are made."""
    asked = []

    def answer(request):
        if request["method"] != "PATCH":
            return None
        asked.append(request)
        refusal = {"code": "other_revision", "message": "it was changed meanwhile", "hint": "look at it"}
        return (412, {"error": refusal}) if len(asked) == 1 else None

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
    refusal = "it was changed meanwhile; look at it (other_revision)"
    browser.wait("the refusal is shown", f"""document.getElementById('change-error').textContent === "{refusal}" """)
    picture(browser, "change")
    assert browser.evaluate("document.getElementById('change').open")
    browser.evaluate("document.getElementById('confirm').focus()")
    browser.key("Enter")
    browser.wait("it is said to be done", "document.getElementById('done').textContent.includes('is 0')")
    assert not browser.evaluate("document.getElementById('change').open")
    weights, drained_by = weights_and_revision(url, token)
    assert weights == [0], weights
    browser.wait("the next event has it", """
        document.querySelector('#group-app tbody tr').innerText.includes('nothing new')""")

    # And back.
    assert browser.evaluate("document.activeElement.textContent") == "Change", "the focus is back"
    browser.key("Enter")
    browser.wait("the dialog is open", "document.getElementById('change').open")
    assert "it is drained" in browser.evaluate("document.getElementById('change-target').textContent")
    assert browser.evaluate("document.getElementById('drain').hidden")
    assert browser.evaluate("document.getElementById('undrain').textContent") == "Undrain: 10", "what it had"
    browser.evaluate("document.getElementById('undrain').click()")
    assert "gets new traffic again" in browser.evaluate("document.getElementById('change-effect').textContent")
    browser.key("Enter")
    browser.wait("it is said to be done", "document.getElementById('done').textContent.includes('is 10')")
    weights, undrained_by = weights_and_revision(url, token)
    assert weights == [10] and undrained_by > drained_by, (weights, undrained_by, drained_by)
    assert len(asked) == 3, asked
    for request, weight in zip(asked, [0, 0, 10]):
        assert request["headers"]["Authorization"] == f"Bearer {token}", request
        assert request["url"] == f"{url}v1/target-groups/app/targets", request
        body = json.loads(request["postData"])
        [target] = body["targets"]
        assert sorted(target) == ["address", "port", "weight"] and target["weight"] == weight, body

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
