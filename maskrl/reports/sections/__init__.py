"""The sections of a report, one file each, in the order of the page.

Each has a function that takes what a run left behind and returns a `Section`,
or None where it does not apply.
"""
