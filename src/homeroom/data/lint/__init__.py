"""Checks of training data: coded rules that explain what they find, and fix what is safe to fix."""
