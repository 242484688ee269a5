"""The web server: pages for people, an OpenAI-compatible API for programs. Its modules import Flask; this package does not."""
