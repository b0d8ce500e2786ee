"""What a path holds, and how it is opened: a build, a release of MMPR, or a table of rows.

kinds.py     kind_of                      build, unfinished (a build without its manifest), release, table, or None
build.py     open_build, heldout_shards   a build's folder
release.py   open_release                 MMPR's meta.json, or the folder that holds it
table.py     table_type, column_names     Parquet, JSONL, a saved dataset, a folder of images
"""
