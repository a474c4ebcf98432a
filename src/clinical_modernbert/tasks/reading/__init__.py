"""In: the files of data sets. Out: their lines, documents, tables and trees, and examples made of them in usual ways. Next: `loaders`."""
