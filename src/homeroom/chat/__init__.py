"""Conversations with models: stored turns, streamed replies, comparison, feedback and practice teaching."""
