"""Tables of events, partitioned by month; partitions are made by ``services.event_store``, ahead and on demand.

No model describes them: rows come in by COPY alone, and are read by ``sources``. An event is stored once, because its id
has to get into ``experiments_eventkey`` first, which is not partitioned: a unique index over months would let an id be
used again in another month.
"""

CREATE = """
CREATE TABLE experiments_eventkey (
    id text COLLATE "C" PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 100),
    received_at timestamptz NOT NULL
);
CREATE TABLE experiments_exposureevent (
    id text COLLATE "C" NOT NULL,
    experiment text NOT NULL CHECK (length(experiment) BETWEEN 1 AND 63),
    unit text COLLATE "C" NOT NULL CHECK (length(unit) BETWEEN 1 AND 200),
    variant text NOT NULL CHECK (length(variant) BETWEEN 1 AND 63),
    at timestamptz NOT NULL,
    attributes jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX experiments_exposureevent_of ON experiments_exposureevent (experiment, at);
CREATE TABLE experiments_factevent (
    id text COLLATE "C" NOT NULL,
    unit text COLLATE "C" NOT NULL CHECK (length(unit) BETWEEN 1 AND 200),
    at timestamptz NOT NULL,
    values jsonb NOT NULL CHECK (jsonb_typeof(values) = 'object' AND values <> '{}'),
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (at);
"""

DROP = """
DROP TABLE experiments_factevent;
DROP TABLE experiments_exposureevent;
DROP TABLE experiments_eventkey;
"""
