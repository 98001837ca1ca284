"""The queue: every claim and every state transition, in one place.

``claims`` gives texts to a job, ``jobs`` moves a job from step to step, ``items`` settles what
became of each text, ``vectors`` makes chunks READY, ``stats`` counts. All work on a connection
inside a transaction that their caller opened, and none of them knows about HTTP.

What changes one job is a Peewee query whose row count is checked. What changes thousands of texts is
SQL over a set.
"""
