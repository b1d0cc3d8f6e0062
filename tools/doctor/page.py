"""A page of a site: whether its tag is there, leads here, and is let do its work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from services.page_address import host_of, is_local
from services.sites import Sites
from tools.doctor import web
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation
from tools.doctor.tags import QUIET_POLICIES, SHORT_POLICIES, Page, Tag, allows, base_of, page_of


class Seen(NamedTuple):
    """A page as it came."""

    problem: str  # why there is nothing to look at
    page: Page
    is_site: bool  # SITES admits its host
    is_local: bool  # a host that is never counted
    here: str  # this installation's address from outside; empty: not given
    script_is: (
        str | None
    )  # what its script is answered as; empty: the page has none; None: it was not asked for


def gather(installation: Installation) -> Seen:
    """Raises ``CannotAsk``."""
    asked, settings = installation.asked, installation.settings
    if not asked.page:
        raise CannotAsk("give PAGE=https://… , a page of yours that has the tag")
    try:
        answer = web.follow(asked.page)
    except web.NoAnswer as error:
        return Seen(str(error), Page(asked.page, (), (), ""), False, False, "", "")
    page = page_of(
        answer.address, answer.text, answer.headers, settings.script_name, settings.endpoint_name, asked.url
    )
    host = host_of(urlsplit(answer.address).netloc) or ""
    return Seen(
        "" if answer.status == 200 else f"status {answer.status}",
        page,
        Sites(settings.sites).site_of(host) is not None,
        is_local(host),
        asked.url,
        _script_is(page, (asked.page, asked.url)),
    )


def _script_is(page: Page, named: tuple[str, ...]) -> str | None:
    """What the first script is answered as: its type, or why it is not."""
    scripts = [tag for tag in page.tags if tag.is_script]
    if not scripts:
        return ""
    # The page may name any address: to this machine's network only where the operator did.
    hosts = {urlsplit(address).hostname for address in (*named, page.address)}
    address = scripts[0].address
    try:
        answer = web.ask(address, on_internet=urlsplit(address).hostname not in hosts)
    except web.NotPublic:
        return None
    except web.NoAnswer as error:
        return str(error)
    kind = answer.headers.get("content-type", "no type").partition(";")[0]
    return kind if answer.status == 200 else f"status {answer.status}"


def judge(seen: Seen) -> Judgement:
    """What a reader's browser makes of the page."""
    if seen.problem:
        return Judgement(f"no page: {seen.problem}", ("no-page",))
    found = list(_faults(seen))
    tags = seen.page.tags
    says = f"{sum(tag.is_script for tag in tags)} scripts, {sum(not tag.is_script for tag in tags)} images"
    if tags:
        says += f", hits go to {tags[0].base}"
    if seen.script_is is None:
        says += "; the script is on a network of yours and not asked for: give its address by URL="
    elif seen.script_is:
        says += f"; the script is {seen.script_is}"
    return Judgement(says, tuple(found))


def _faults(seen: Seen) -> Iterator[str]:
    page, tags = seen.page, seen.page.tags
    scripts = [tag for tag in tags if tag.is_script]
    if not seen.is_site:
        yield "not-a-site"
    if seen.is_local:
        yield "local-host"
    if not tags:
        yield "no-tag"
        return
    if seen.here and all(tag.base != base_of(seen.here) for tag in tags):
        yield "elsewhere"
    if sum(not tag.is_for_no_script for tag in tags) > 1:
        yield "two-tags"
    if scripts and seen.script_is is not None and "javascript" not in seen.script_is:
        yield "no-script"
    if any(tag.is_module for tag in scripts):
        yield "module"
    if any(tag.is_pinned for tag in scripts):
        yield "pinned"
    if page.address.startswith("https:") and any(tag.address.startswith("http:") for tag in tags):
        yield "mixed"
    if not all(_is_allowed(page, tag) for tag in tags):
        yield "forbidden"
    if not scripts:
        yield from _image_faults(page)


def _is_allowed(page: Page, tag: Tag) -> bool:
    """The script's hits go by `connect-src`, or by `img-src` where that refuses."""
    if not tag.is_script:
        return allows(page.csp, "img-src", tag.address, page.address)
    sends = any(
        allows(page.csp, directive, tag.endpoint, page.address) for directive in ("connect-src", "img-src")
    )
    return sends and allows(page.csp, "script-src", tag.address, page.address)


def _image_faults(page: Page) -> Iterator[str]:
    """An image alone knows its page by the Referer, unless its address names it."""
    unnamed = [tag for tag in page.tags if not tag.names_page]
    policies = {tag.policy or page.policy for tag in unnamed}
    if policies & set(QUIET_POLICIES):
        yield "no-referrer"
    elif policies & set(SHORT_POLICIES):
        yield "short-referrer"
