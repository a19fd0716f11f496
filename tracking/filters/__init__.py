"""The filter language of the runs table: text -> tokens -> a small tree -> conditions of the ORM. Never evaluated.

    metrics.val_loss.min < 0.3 and (config.lr in (0.1, 0.01) or tags has "baseline")

`parser.parse` reads a filter, `queries.condition` makes the `Q` of it, `completion.complete` says what may stand at the
caret. The grammar, with examples, is in docs/filters.md.
"""
