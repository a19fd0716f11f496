"""Metric points at rest. Only this package knows their layout.

The points of one request are one `MetricSegment` (`appending`). A background step moves them into `MetricChunk`s, a
series each (`folding`); reads merge both. Point i of a segment has the public id `first_id` + i and the place
`seq` - `count` + 1 + i in its run's stream, and keeps both when it is folded.
"""

from tracking.store.appending import COUNTER_PK, append_points, summarise, take_ids
from tracking.store.folding import fold_run
from tracking.store.layout import pack, pack_point
from tracking.store.paging import Page, iter_series, read_page
from tracking.store.points import Columns, Floats, Integers, Point, StreamPoint, Summary, microseconds, moment
from tracking.store.reading import read_points, read_series, summaries
from tracking.store.thinned import Thinned, read_thinned, read_thinned_runs
from tracking.store.thinning import MIN_DOWNSAMPLED, downsample

__all__ = [
    "COUNTER_PK",
    "MIN_DOWNSAMPLED",
    "Columns",
    "Floats",
    "Integers",
    "Page",
    "Point",
    "StreamPoint",
    "Summary",
    "Thinned",
    "append_points",
    "downsample",
    "fold_run",
    "iter_series",
    "microseconds",
    "moment",
    "pack",
    "pack_point",
    "read_page",
    "read_points",
    "read_series",
    "read_thinned",
    "read_thinned_runs",
    "summaries",
    "summarise",
    "take_ids",
]
