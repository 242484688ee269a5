"""OpenAI's files and fine-tuning API over Homeroom's own datasets, jobs and models.

- `files`, `training_file`: uploads, whole or not at all, checked line by line.
- `request`, `hyperparameters`, `bases`: what a client asked for, and what that means here.
- `jobs`, `events`, `checkpoints`, `results`: what it can see of a job; `run`: the job itself.
- `webhooks`, `signing`, `deliveries`: telling others how jobs ended.

The objects and their fields: https://platform.openai.com/docs/api-reference/fine-tuning
"""
