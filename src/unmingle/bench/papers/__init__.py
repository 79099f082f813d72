"""One file a paper: its tables' rows, data sets and published figures; `together` is of all."""
