"""What other people's programs see of the API: unmodified clients, and requests made from OpenAI's own description of it."""
