"""The benchmark behind `fastxor bench`; nothing else in the package imports it.

`command` reads the options and goes through the cases of `problems`; `worker` gives fastxor and each of its `peers` a
process; `measuring` compares and times; `report`, `plots` and `page` show what was found, on what `machine`.
"""
