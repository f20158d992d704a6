-- The twin of ../postgres/0016_in_place.sql: rows change in place here.
SELECT 1;
