"""Published data sets, one file a set; `unmingle.data.catalogue` knows them by name."""
