-- What the server that plans saw and decided, as JSON, for another one that asked. Here nobody asks: there is one
-- server. It stands here so that both databases have the same tables.
CREATE TABLE planned (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    asked BIGINT NOT NULL,
    told BIGINT NOT NULL,
    planned TEXT
);
