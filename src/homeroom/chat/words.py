"""English words that say nothing about whose idea a sentence takes up."""

from __future__ import annotations

COMMON_WORDS: frozenset[str] = frozenset(
    """
    about above actually after again agree agreed also always another answer answers anything around away because
    before being better between bigger both bottom came cause change changed check come could count course does doing
    don't done don’t down draw each easy either else even every exactly explain feel find first from gave getting give
    going gone good got great group have having hear heard help here idea into isn't isn’t it's it’s just keep kind
    know larger last learn least less let's let’s like little look looked looks made make makes many maybe mean means
    might mine more most much must need needs never next nice none nothing number numbers okay once only other over
    part perhaps picture piece place please pretty problem question quite read really reason right said same say
    saying says second seems should show shown side since smaller some someone something sometimes still stuff sure
    take taking talk tell than thank thanks that that's that’s their them then there there's there’s these they
    they're they’re thing things think thinking third this those though thought three through time times told took
    tried true trying turn under understand until upon using very wait want wanted wants wasn't wasn’t well were what
    what's what’s when where which while will with without word words work worked works would write wrong wrote years
    you're your yours you’re
    """.split()  # noqa: SIM905 - hundreds of quoted strings would fill pages
)
