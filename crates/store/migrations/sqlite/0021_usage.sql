-- What an instance used, span after span since it was launched; spans grow with its age. CPU is in
-- thousandths of a core, memory in bytes; a sum is over the samples of the span.
CREATE TABLE instance_usage (
    instance_id   BLOB NOT NULL REFERENCES instance (id) ON DELETE CASCADE,
    from_second   BIGINT NOT NULL,
    seconds       BIGINT NOT NULL,
    samples       BIGINT NOT NULL,
    cpu_peak      BIGINT NOT NULL,
    cpu_sum       BIGINT NOT NULL,
    memory_peak   BIGINT NOT NULL,
    memory_sum    BIGINT NOT NULL,
    PRIMARY KEY (instance_id, from_second)
) WITHOUT ROWID;
