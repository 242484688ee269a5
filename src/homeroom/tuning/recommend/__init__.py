"""Which method to tune with: inputs, rules that weigh them, and an answer that says why. Pure: nothing is looked up here.

inputs.py   what is asked, with its values and what it is without an answer
rules.py    what each answer speaks for or against, as a table
guide.py    the reasons of the guide, each with the input that stands for it
decide.py   inputs -> recommendation
"""

from homeroom.tuning.recommend.decide import Recommendation, recommend
from homeroom.tuning.recommend.inputs import INPUTS, Situation
from homeroom.tuning.recommend.rules import METHODS, RULES

__all__ = ["INPUTS", "METHODS", "RULES", "Recommendation", "Situation", "recommend"]
