-- How long a result is in the formats it was written in: JSON, by what the format and the columns say.
ALTER TABLE request ADD COLUMN result_sizes TEXT;
