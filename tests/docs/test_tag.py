"""docs/tag.md names what the code has, and its examples do what it says they do."""

from __future__ import annotations

import ast
import html
import re
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from services.settings import CATALOGUE
from tests.docs.guide import ROOT, Guide, codes_of
from tests.system.stack import BROWSER, Stack, wait_until

PIXEL = ROOT / "services/pixel"
TAG = Guide("tag.md")
REASON = re.compile(r"[a-z]+(?:-[a-z]+)*")
# Attributes of the page's examples that stand for any, such as `data-footfall-…`.
EXAMPLES = {"data-footfall", "data-footfall-plan"}
OTHERS_SETTINGS = {"JEKYLL_ENV"}
IMAGE = "https://pixel.example.com/a.gif"


def trees() -> Iterator[ast.AST]:
    """The pixel's modules, parsed."""
    for path in sorted(PIXEL.glob("*.py")):
        yield from ast.walk(ast.parse(path.read_text()))


def texts_in(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def reasons_in_the_code() -> set[str]:
    """Reasons in Literals named …Reason, in calls that leave a request out, and in written-out headers."""
    found: set[str] = set()
    for node in trees():
        if isinstance(node, ast.Assign) and name_of(node.targets[0]).endswith("Reason"):
            found |= texts_in(node.value)
        elif isinstance(node, ast.Call) and re.search(r"refus|leave_out|exclude", name_of(node.func), re.I):
            # `line`s are names of constants; what is written out beside them is the outcome and the reason.
            found |= {text for argument in node.args for text in texts_in(argument)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"; reason=([a-z-]+)", node.value))
    return {text for text in found if REASON.fullmatch(text)} - {"excluded", "refused"}


def parameters_in_the_code() -> set[str]:
    """The names that collect.py and values.py take out of a request's parameters."""
    found: set[str] = set()
    trees = [ast.parse((PIXEL / name).read_text()) for name in ("collect.py", "values.py")]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if not isinstance(node, ast.Call):
            continue
        taken_from = node.func.value if isinstance(node.func, ast.Attribute) else None
        if any(name_of(part) == "parameters" for part in (*node.args, *filter(None, [taken_from]))):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return {name for name in found if isinstance(name, str) and name}


# Tables and code --------------------------------------------------------------------------------------------


def test_every_parameter_has_its_row() -> None:
    documented = [codes_of(name)[0] for name, *_ in TAG.table("parameter", "meaning")]
    assert "url" in documented
    assert set(documented) == parameters_in_the_code()
    assert len(documented) == len(set(documented))


def reasons_in_the_page() -> set[str]:
    rows = TAG.table("reason", "it means") + TAG.table("reason", "status")
    return {reason for row in rows for reason in codes_of(row[0])}


def test_every_reason_is_explained() -> None:
    in_code = reasons_in_the_code()
    assert {"local-host", "prefetch", "url", "rate-limit", "not-durable"} <= in_code, "the search is broken"
    assert in_code - reasons_in_the_page() == set()


def test_every_reason_of_the_page_is_in_the_code() -> None:
    source = "".join(path.read_text() for path in PIXEL.glob("*.py"))
    assert [reason for reason in reasons_in_the_page() if not re.search(f'["=]{reason}"', source)] == []


def attributes(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])data-[a-z]+(?:-[a-z]+)*", text))


def attributes_in_the_code() -> set[str]:
    """What the tracker reads from elements: written out, or by name from its tag's dataset (``options``)."""
    source = (PIXEL / "tracker.js").read_text()
    names = re.findall(r'\boptions\.(\w+)|"(\w+)" in options', source)
    return attributes(source) | {"data-" + re.sub("[A-Z]", r"-\g<0>", a or b).lower() for a, b in names}


def test_every_attribute_is_explained() -> None:
    in_code = attributes_in_the_code()
    assert {"data-owner", "data-endpoint"} <= in_code, "the search is broken"
    assert in_code - attributes(TAG.text) == set()


def test_every_attribute_of_the_page_is_in_the_code() -> None:
    documented = {codes_of(row[0])[0].partition("=")[0] for row in TAG.table("attribute", "effect")}
    assert "data-engaged" in documented
    assert (documented | attributes(TAG.text)) - attributes_in_the_code() - EXAMPLES == set()


def test_the_settings_of_the_tag_are_named() -> None:
    documented = {code.partition("=")[0] for code in TAG.codes()}
    wanted = {"SITES", "EXCLUDED_HOSTS", "PRIVACY_SIGNALS", "RATE_LIMIT", "TRUSTED_PROXIES", "HASH_ROUTING",
              "QUERY_PARAMETERS", "REDACT", "MISSING_PAGE_TITLES", "CLIENT_ADDRESS_HEADER",
              "SCRIPT_NAME", "ENDPOINT_NAME"}  # fmt: skip
    assert wanted - documented == set()


def test_every_setting_of_the_page_is_in_the_catalogue() -> None:
    names = {name for code in TAG.codes() for name in re.findall(r"^[A-Z]+(?:_[A-Z]+)+(?==|$)", code)}
    assert names - OTHERS_SETTINGS - {setting.name for setting in CATALOGUE} == set()


def test_the_defaults_of_the_page_are_the_catalogues() -> None:
    defaults = {setting.name: setting.default for setting in CATALOGUE}
    for name, default, *_ in TAG.table("setting", "default"):
        assert defaults.get(codes_of(name)[0]) == codes_of(default)[0]


# Examples ---------------------------------------------------------------------------------------------------


def examples() -> str:
    """All blocks in which an address stands as an attribute."""
    return "\n".join(
        text for kind in ("html", "liquid", "go-html-template", "php") for text in TAG.blocks(kind)
    )


def images() -> list[str]:
    """The addresses of the images that name their page, as a browser reads them."""
    found = [source for text in TAG.blocks("html") for source in re.findall(r'src="([^"]*)"', text)]
    return [html.unescape(source) for source in found if source.startswith(f"{IMAGE}?")]


def test_addresses_are_escaped() -> None:
    sources = re.findall(r'src="([^"]*)"', examples())
    assert len(sources) > 5
    assert [source for source in sources if re.search(r"&(?!amp;)", source)] == []


def test_every_image_names_its_page_or_lets_the_browser_say_it() -> None:
    for element in re.findall(r"<img [^>]*>", examples()):
        assert 'alt=""' in element
        assert ("referrerpolicy=" in element) != ("?url=" in element)


@pytest.mark.system
def test_the_images_count_as_what_they_say(stack: Stack) -> None:
    events = set()
    assert len(images()) == 2
    for image in images():
        query = parse_qs(urlsplit(image).query)
        # A page of this test's own, below the example's.
        page = f"{urlsplit(query['url'][0]).path}/{uuid.uuid4().hex[:8]}"
        address = image.replace(query["url"][0], f"https://blog.example{page}")
        status, headers, body = stack.get(address.removeprefix("https://pixel.example.com"))
        assert (status, headers["X-Footfall"], body[:3]) == (200, "accepted", b"GIF")
        sql = "select event from hits where path = %s"
        events |= set(wait_until(lambda sql=sql, page=page: stack.query(sql, page)))
    assert events == {("email-open",), ("feed-read",)}


@pytest.mark.system
def test_mail_proxies_are_what_the_page_says(stack: Stack) -> None:
    agents = {
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        "Mozilla/5.0",  # Apple's
    }
    for agent in agents:
        page = f"/newsletter/{uuid.uuid4().hex[:8]}"
        query = urlencode({"url": f"https://blog.example{page}", "event": "email-open"})
        stack.get(f"/a.gif?{query}", User_Agent=agent)
        sql = "select is_bot, bot_name is not null from hits where path = %s"
        assert wait_until(lambda sql=sql, page=page: stack.query(sql, page)) == [(True, True)]


@pytest.mark.system
def test_the_statements_run_for_the_analyst(stack: Stack) -> None:
    events, engaged, own, left_out = TAG.blocks("sql")
    page = f"/{uuid.uuid4().hex[:8]}"
    for props in ('{"seconds": 20}', '{"seconds": 2}', '{"seconds": "a lie"}', "{}"):
        stack.get(
            "/a?" + urlencode({"url": f"https://blog.example{page}", "event": "engaged", "props": props})
        )
    wait_until(lambda: stack.query("select count(*) from hits where path = %s", page) == [(4,)])
    with stack.connect("analyst") as connection:
        assert ("engaged", page, 4) in [row[1:] for row in connection.execute(events)]
        assert (page, 22) in connection.execute(engaged).fetchall()
        assert any(page in row for row in connection.execute(own))
        connection.execute(left_out)


# Spellings --------------------------------------------------------------------------------------------------

SPELLINGS = [[(codes_of(cell) or [""])[0] for cell in row] for row in TAG.table("sent", "host", "path")]


@pytest.mark.system
@pytest.mark.parametrize("row", SPELLINGS, ids=[row[0] for row in SPELLINGS])
def test_a_spelling_is_stored_as_the_page_says(stack: Stack, row: list[str]) -> None:
    sent, *stored = row
    hit_id = str(uuid.uuid4())
    status, headers, _ = stack.get("/a?" + urlencode({"url": sent, "id": hit_id}))
    assert (status, headers["X-Footfall"]) == (204, "accepted")
    sql = "select host, path, coalesce(query, '') from hits where hit_id = %s"
    found = wait_until(lambda: stack.query(sql, hit_id))
    assert found == [tuple(stored)]


# Does it count? ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict(make_stack: Callable[..., Stack]) -> Stack:
    """A stack that leaves out all that a setting can leave out."""
    return make_stack(
        SITES="blog.example", EXCLUDED_HOSTS="*--preview.blog.example", PRIVACY_SIGNALS="drop", RATE_LIMIT="3"
    )


def ask(stack: Stack, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and X-Footfall of an answer."""
    body = headers.pop("body", None)
    sent = {"User-Agent": BROWSER, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(
        stack.pixel_url + path, body.encode() if body else None, sent, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get("X-Footfall", "")
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("X-Footfall", "")


PAGE = "/a?url=https://blog.example/counted"
EXCLUDED: list[tuple[str, str, str, dict[str, str]]] = [
    ("local-host", "GET", "/a?url=http://localhost:4000/", {}),
    ("local-host", "GET", "/a?url=http://laptop.local/", {}),
    ("local-host", "GET", "/a?url=http://site.test/", {}),
    ("local-host", "GET", "/a?url=http://192.168.1.7/", {}),
    ("local-host", "GET", "/a?url=file:///home/index.html", {}),
    ("excluded-host", "GET", "/a?url=https://x--preview.blog.example/", {}),
    ("unknown-site", "GET", "/a?url=https://copy.example/", {}),
    ("prefetch", "GET", PAGE, {"Sec_Purpose": "prefetch;prerender"}),
    ("privacy-signal", "GET", PAGE, {"Sec_GPC": "1"}),
    ("privacy-signal", "GET", PAGE, {"DNT": "1"}),
    ("head", "HEAD", PAGE, {}),
    ("preflight", "OPTIONS", "/a", {"Origin": "https://blog.example"}),
]
REFUSED: list[tuple[str, str, str, dict[str, str]]] = [
    ("url", "GET", "/a", {}),
    ("id", "GET", f"{PAGE}&id=7", {}),
    ("query", "GET", f"{PAGE}&title={'x' * 8_000}", {}),
    ("body", "POST", "/a", {"body": "x" * 65_537}),
    ("method", "PUT", "/a", {}),
    ("method", "POST", "/a.gif", {"body": "url=https://blog.example/"}),
    ("origin", "OPTIONS", "/a", {"Origin": "https://copy.example"}),
    ("malformed", "GET", PAGE, {"X_Long": "x" * 40_000}),
]


def ids(cases: list[tuple[str, str, str, dict[str, str]]]) -> list[str]:
    return [f"{reason}: {method} {path[:40]}" for reason, method, path, _ in cases]


@pytest.mark.system
@pytest.mark.parametrize(("reason", "method", "path", "headers"), EXCLUDED, ids=ids(EXCLUDED))
@pytest.mark.parametrize("name", ["/a", "/a.gif"])
def test_an_excluded_request_says_why(
    strict: Stack, name: str, reason: str, method: str, path: str, headers: dict[str, str]
) -> None:
    status, said = ask(strict, path.replace("/a", name, 1), method, **headers)
    assert said == f"excluded; reason={reason}"
    assert status in (200, 204)


@pytest.mark.system
@pytest.mark.parametrize(("reason", "method", "path", "headers"), REFUSED, ids=ids(REFUSED))
def test_a_refused_request_says_why(
    strict: Stack, reason: str, method: str, path: str, headers: dict[str, str]
) -> None:
    status, said = ask(strict, path, method, **headers)
    assert said == f"refused; reason={reason}"
    (row,) = (row for row in TAG.table("reason", "status") if reason in codes_of(row[0]))
    assert str(status) in row[1].split(", ")


@pytest.mark.system
def test_too_many_hits_say_so(strict: Stack) -> None:
    answers: list[Any] = [ask(strict, PAGE) for _ in range(5)]
    assert (429, "refused; reason=rate-limit") in answers


@pytest.mark.system
def test_the_ledger_counts_what_the_page_says(strict: Stack) -> None:
    (line,) = (line for line in TAG.text.splitlines() if line.startswith("Told to the sender"))
    told = set(codes_of(line))
    for _, method, path, headers in (*EXCLUDED, *REFUSED):
        ask(strict, path, method, **headers)
    counted = {reason for reason, *_ in (*EXCLUDED, *REFUSED)} - told
    sql = "select reason from ledger_left_out"
    found = wait_until(lambda: (f := {r for (r,) in strict.query(sql)}) >= counted and f)
    assert found & told == set()
    assert told <= reasons_in_the_page()


@pytest.mark.system
def test_a_dropped_value_is_named(stack: Stack) -> None:
    answer = ask(stack, f"{PAGE}&screen=large&props=[1]")
    assert answer == (204, "accepted; dropped=screen,props")
