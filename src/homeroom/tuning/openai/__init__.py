"""Tuning at an endpoint with OpenAI's fine-tuning API: OpenAI, or Homeroom's own server.

Modules:

    recipe    what a run is made of
    lines     examples as lines of a training file, and how many tokens they are
    state     what a run has done so far, on the disk before the next thing is done
    purse     the money of a run: held before anything is sent, settled by what was trained
    access    whether the endpoint lets us tune, asked before anything is uploaded; its refusals in words
    place     where a run is done, and what it is part of
    plan      what it will cost
    follow    a job from its creation to its end: created once, followed without busy polling
    leave     what a run leaves there when it is given up: jobs ended, files deleted
    dialect   in what a provider's form of the API differs: how settings are written, what a job leaves
    deploy    a checkpoint made to answer, where a provider names no model
    outcome   what a job left: losses, checkpoints, overfitting
    curve     the loss over the number of examples, and whether more of them will help
    result    a finished run as a model
    tuner     all of it in order
"""
