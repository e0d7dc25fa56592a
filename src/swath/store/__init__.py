"""The doors to the outside: the journal (what was decided) and FiftyOne's dataset (what is shown), both in MongoDB.

journal/    loops, batches, assignments, and what is kept apart in pieces; the lease of the one writer
scenes      scenes of a dataset: aligned columns to read, fenced bulk writes over all slices
views       saved views and dataset.info, fenced
"""
