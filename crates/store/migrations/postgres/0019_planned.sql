-- The twin of ../sqlite/0019_planned.sql.

-- What the server that plans saw and decided, as JSON, for another one that asked: `told` is up to which question
-- it was written. It may be lost: whoever needs it asks again.
CREATE UNLOGGED TABLE planned (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    asked BIGINT NOT NULL,
    told BIGINT NOT NULL,
    planned TEXT
);
