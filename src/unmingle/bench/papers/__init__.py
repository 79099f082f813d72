"""One file a paper: the rows of its tables, their data sets, the published figures."""
