"""The dashboard's own pages: read by many, from what a run holds, without a kernel; widgets stay with Voilà.

access (who may see what) -> rows (one page of a table) -> front, trail, actions (what a page shows or does)
-> views (the pages as HTML) -> server (Voilà's server with these pages in front).
"""
