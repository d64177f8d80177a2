"""Papers that are re-run: their networks, their tasks, and their tables beside ours."""
