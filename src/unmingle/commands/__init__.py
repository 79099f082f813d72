"""One module a verb of the command line: its flags as a dataclass, and `run(argv)`."""
