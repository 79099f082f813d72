"""The one training loop: stages, players, budgets, precision, checkpoints, logs.

Nothing here knows a method by name. Import from the submodules: `stage` (what a method writes),
`loop` (`train`), `settings`, `budget`, `schedules`, `run`. Importing the package does not import
torch.
"""
