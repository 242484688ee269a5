"""Moving from OpenAI's fine-tuning to one's own machine: `homeroom migrate openai`.

Everything lies in one folder that a person can read and keep: inventory, jobs with their events, training and result files, the
old models' answers, what was spent, and the report. Each file is whole or absent, so every step can be stopped and run again.
"""
