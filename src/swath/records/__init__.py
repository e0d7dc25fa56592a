"""What the journal holds, as frozen values: read by name everywhere, spelled as documents in the store's codec alone.

base        Record, Estimate, Blob
loop        one per dataset: configuration, splits, what steps outside rounds recorded
batch       one per round or reference batch: state, and what its steps recorded
manifest    the decision of a batch: who was chosen, from what question, and why
assignment  who was asked for what, and what came of it
html        any of them as a table, for notebooks
migrate     documents of earlier schemas, brought to today's
"""
