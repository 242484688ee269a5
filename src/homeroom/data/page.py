"""The head of a page that is one file: it loads nothing, runs nothing and sends nothing, wherever it is opened."""

from __future__ import annotations

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'"


def page_head(title: str, style: str) -> str:
    """From the doctype to ``</head>``. ``title`` is escaped already, ``style`` is CSS of our own."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
"""
