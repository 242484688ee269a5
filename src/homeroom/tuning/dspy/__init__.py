"""Tuning a prompt with DSPy: signatures for teaching, several optimisers, the best kept. Serving needs no DSPy.

Modules:

    spec         a program's fields as plain data; signatures, schemas and prompt programs are made from it
    shipped      the programs for teaching
    own          a signature of a user's own, by import path
    recipe       what a run is made of
    desk         every call of a run: the budget, replies that are kept, what stops it
    library      what DSPy needs from us: an engine over our chat models, and an adapter that renders as our prompt programs do
    task         examples as DSPy has them, and scoring a program on the selection items
    optimisers   candidates, one function for each method
    iterative    BootstrapIterative
    weights      what trains weights in the middle of a search, as it is passed in
    provider     a DSPy provider over our tuners
    together     BootstrapFinetune and BetterTogether: prompts and weights
    envelope     an optimised program as JSON, and as a prompt program
    tuner        try several, keep the best
"""
