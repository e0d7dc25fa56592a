"""Decisions, as pure functions of records and arrays: no database, no files, no clock.

selection   which scenes come next, and why
failures    which scenes the model gets wrong, worst first
notable     which of them are shown: those worth a look
golden      whether labels are still honest
stopping    whether to go on

(What must be shown of it is `projection`; which step may follow which is `life`.)
"""
