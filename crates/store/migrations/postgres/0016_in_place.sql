-- Room beside each request, so that its start changes its row in place and no index.
ALTER TABLE request SET (fillfactor = 50);
