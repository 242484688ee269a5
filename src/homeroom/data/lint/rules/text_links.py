"""Links in a text, and what is wrong with their form. Nothing is looked up."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LINK = re.compile(
    r"\[(?P<label>[^\]\n]{1,200})\]\((?P<target>[^)\n]{0,500})\)"
    r"|(?P<bare>\b[A-Za-z]{2,8}:?/{1,3}[^\s<>\"'()\[\]]*|\bwww\.[^\s<>\"'()\[\]]*)"
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_SCHEMES = ("http", "https")
_TYPOS = ("htp", "htpp", "htttp", "http", "https", "htps", "httpss", "hhttp", "hhttps", "ttp", "ttps", "hxxp", "hxxps")
_MADE_UP = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net)|invalid|test|localhost|yourwebsite\.com|website\.com|url\.com|link\.com)$"
)


def link_faults(text: str) -> list[tuple[str, str]]:
    """(link, what is wrong with it) for every link of ``text`` that cannot work."""
    if "://" not in text and "www." not in text and "](" not in text and "http" not in text and "htp" not in text:
        return []
    found: list[tuple[str, str]] = []
    for match in _LINK.finditer(text):
        if match["bare"] is not None:
            link = match["bare"].rstrip(".,;:!?*_")
            scheme = re.split("[:/]", link, maxsplit=1)[0].lower()
            if not link.lower().startswith("www.") and scheme not in _TYPOS:
                continue
            fault = _fault(link)
        else:
            link = match["target"].strip().split(" ", 1)[0]
            fault = "has no target" if not link else "" if link.startswith(("#", "/", "mailto:", "./", "../")) else _fault(link)
            link = link or match.group()
        if fault:
            found.append((link, fault))
    return found


def _fault(link: str) -> str:
    if link.lower().startswith("www."):
        link = "http://" + link
    if "://" not in link:
        return "has no scheme such as https://"
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "cannot be read as an address"
    if parts.scheme.lower() not in _SCHEMES:
        return f"begins with {parts.scheme}://, not https://"
    if not host:
        return "has no host"
    if link.lower().count("://") > 1 and "?" not in link and "web.archive.org" not in host:
        return "holds two addresses"
    return _host_fault(host)


def _host_fault(host: str) -> str:
    try:
        return "" if ipaddress.ip_address(host).is_global else "points into a private network"
    except ValueError:
        pass
    labels = host.split(".")
    if _MADE_UP.search(host):
        return "names a host that is made up"
    if len(labels) < 2:
        return f"names no host: {host!r} has no ending such as .org"
    if not host.isascii():
        return ""  # an international name: its letters are the registry's business
    if not all(_LABEL.fullmatch(label) for label in labels) or not re.fullmatch(r"[A-Za-z]{2,24}|xn--[A-Za-z0-9-]+", labels[-1]):
        return f"names a host that cannot be: {host!r}"
    return ""
